/* The `reliability` of a metrics message. */
#include "stream/publish.h"

static void put_use(struct fly_pack *pack, const struct fly_pub_repeat *repeat)
{
    fly_pack_str(pack, repeat->use);
    fly_pack_map(pack, 5);
    fly_pack_key_f64(pack, "haadf", repeat->haadf);
    fly_pack_key_f64(pack, "eds", repeat->eds);
    fly_pack_str(pack, "weights");
    fly_pack_array(pack, 2);
    fly_pack_f64(pack, repeat->weights[0]);
    fly_pack_f64(pack, repeat->weights[1]);
    fly_pack_str(pack, "used");
    fly_pack_bool(pack, repeat->used);
    fly_pack_str(pack, "reason");
    fly_pack_str(pack, repeat->reason);
}

void fly_pub_pack_reliability(struct fly_pack *pack, const struct fly_pub_reliability *reliability)
{
    if (reliability->n == 0) {
        fly_pack_nil(pack);
        return;
    }
    fly_pack_map(pack, (uint32_t)reliability->n);
    for (int32_t i = 0; i < reliability->n; i++)
        put_use(pack, &reliability->of[i]);
}
