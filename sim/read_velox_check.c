/* A Velox file's event streams against the spectra that Velox summed up from them. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sim/read_velox.h"

enum { OBJECTS_MAX = 1024 };

enum verdict { SPECTRUM_NONE, SPECTRUM_MORE, SPECTRUM_PART, SPECTRUM_EQUAL };

/* How one Spectrum compares with a stream's histogram; *channel: where it holds more. */
static int compare_spectrum(const struct fly_velox_stream *stream, const char *path, hid_t group,
                            enum verdict *verdict, int64_t *channel)
{
    int64_t start[FLY_H5_DIMS] = {0}, count[FLY_H5_DIMS] = {0, 1, 1, 1};
    struct fly_h5_set set;
    uint32_t *counts = NULL;
    void *raw = NULL;
    int rc = fly_h5_set_open(&set, path, group, "Data");

    *verdict = SPECTRUM_NONE;
    if (rc < 0)
        return rc;
    count[0] = set.shape[0];
    if (set.dims < 1 || set.dims > 2 || count[0] < 1 || count[0] > FLY_CHANNELS_MAX ||
        (set.dims == 2 && set.shape[1] != 1)) {
        fly_h5_set_close(&set);
        return FLY_OK;
    }
    raw = malloc((size_t)count[0] * fly_npy_type_size(set.type));
    counts = malloc((size_t)count[0] * sizeof *counts);
    if (!raw || !counts)
        rc = fly_fail(FLY_ENOMEM, "%s: no memory for a spectrum", path);
    else
        rc = fly_h5_set_read(&set, start, count, raw);
    if (rc == FLY_OK &&
        fly_import_counts(counts, set.type, raw, (size_t)count[0]) == (size_t)count[0]) {
        *verdict = SPECTRUM_EQUAL;
        for (int64_t k = 0; k < count[0]; k++) {
            if (counts[k] > stream->histogram[k]) {
                *verdict = SPECTRUM_MORE;
                *channel = k;
                break;
            }
            if (counts[k] < stream->histogram[k])
                *verdict = SPECTRUM_PART;
        }
    }
    free(counts);
    free(raw);
    fly_h5_set_close(&set);
    return rc;
}

int fly_velox_check(struct fly_import *out, hid_t file, const struct fly_velox_stream *streams,
                    int32_t n_streams)
{
    enum verdict best[FLY_SEGMENTS_MAX] = {SPECTRUM_NONE};
    int64_t channel[FLY_SEGMENTS_MAX] = {0};
    char(*names)[256];
    int32_t count;
    int rc = fly_h5_names(out->path, file, "Data/Spectrum", OBJECTS_MAX, &names, &count);

    for (int32_t i = 0; i < count && rc == FLY_OK; i++) {
        char at[320];
        json_t *meta = NULL;
        hid_t group;

        snprintf(at, sizeof at, "Data/Spectrum/%s", names[i]);
        group = H5Gopen2(file, at, H5P_DEFAULT);
        if (group < 0)
            continue;
        if (fly_velox_meta(&meta, out->path, group, at, 0) == FLY_OK) {
            const char *name = fly_json_text(meta, "BinaryResult", "Detector", NULL);

            /* The sum of all segments has the name of the detector, and the index of one of them. */
            if (!name[0])
                name = fly_velox_recorded_by(meta, "AnalyticalDetector");
            for (int32_t s = 0; s < n_streams && rc == FLY_OK; s++) {
                enum verdict verdict;
                int64_t where = 0;

                if (strcmp(streams[s].name, name) != 0)
                    continue;
                rc = compare_spectrum(&streams[s], out->path, group, &verdict, &where);
                if (verdict > best[s])
                    best[s] = verdict;
                if (verdict == SPECTRUM_MORE)
                    channel[s] = where;
            }
            json_decref(meta);
        } else {
            fly_import_note(out, "%s: no self-check by it", fly_fail_text());
        }
        H5Gclose(group);
    }
    free(names);
    for (int32_t s = 0; s < n_streams && rc == FLY_OK; s++) {
        const char *name = streams[s].name;

        if (best[s] == SPECTRUM_MORE)
            rc = fly_fail(FLY_EWIRE,
                          "%s: the event stream of %s holds %" PRIu64 " events in channel %" PRId64
                          ", fewer than Velox's own sum of it: the stream is damaged",
                          out->path, name, streams[s].histogram[channel[s]], channel[s]);
        else if (best[s] == SPECTRUM_PART)
            fly_import_note(out, "%s: Velox's own sum of %s is of a part of its events", out->path,
                            name);
        else if (best[s] == SPECTRUM_NONE && streams[s].events > 0)
            fly_import_note(out, "%s: no sum of %s to check its events by", out->path, name);
    }
    return rc;
}
