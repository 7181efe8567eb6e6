/* Our letters, drawn for Flyback: each a few strokes over a grid of 12 units a capital's height. */
#include "plugin/canvas.h"

#include <stddef.h>

static const char *const glyphs[95] = {
    "",                                              /* space */
    "-0a0h -0m0m",                                   /* ! */
    "-0a0d -3a3d",                                   /* " */
    "-2b1l -6b5l -0e7e -0i7i",                       /* # */
    "~6d5b3b0b0f3g6h6l3l1l0j -3a3m",                 /* $ */
    "o0a3a3e0e o5i8i8m5m -7a1m",                     /* % */
    "~8m3g1d1a3a5a5d3f0g0m3m6m7i",                   /* & */
    "-0a0d",                                         /* ' */
    "~3a0d0j3n",                                     /* ( */
    "~0a3d3j0n",                                     /* ) */
    "-3a3g -0b6f -6b0f",                             /* * */
    "-3e3k -0h6h",                                   /* + */
    "-1l0o",                                         /* , */
    "-0h4h",                                         /* - */
    "-0m0m",                                         /* . */
    "-5a0m",                                         /* / */
    "o3a6a6g6m3m0m0g0a",                             /* 0 */
    "-1d4a4m",                                       /* 1 */
    "~0c0a3a6a6d6g0m0m -0m6m",                       /* 2 */
    "~0b1a3a6a6g3g2g ~2g3g6g6m3m1m0l",               /* 3 */
    "-5m5a0j6j",                                     /* 4 */
    "-6a1a0g ~0g1e3e6e6i6m3m1m0l",                   /* 5 */
    "o3f6f6i6m3m0m0i0f ~5a2b0d0i",                   /* 6 */
    "-0a6a2m",                                       /* 7 */
    "o3a6a6d6g3g0g0d0a o3g6g6j6m3m0m0j0g",           /* 8 */
    "o3a6a6d6h3h0h0d0a ~1m4l6j6e",                   /* 9 */
    "-0f0f -0m0m",                                   /* : */
    "-1f1f -1l0o",                                   /* ; */
    "-6d0h6l",                                       /* < */
    "-0f6f -0j6j",                                   /* = */
    "-0d6h0l",                                       /* > */
    "~0b1a3a6a6d6f3g3i -3m3m",                       /* ? */
    "o4e6e6i6k4k2k2i2e ~6e6k8k9i9e9a5a0a0g0m5m8l",   /* @ */
    "-0m4a8m -1i7i",                                 /* A */
    "-0a0m ~0a3a7a7g3g0g ~0g3g8g8m3m0m",             /* B */
    "~8c6a4a0a0g0m4m6m8k",                           /* C */
    "-0a0m ~0a4a8a8g8m4m0m",                         /* D */
    "-7a0a0m7m -0g6g",                               /* E */
    "-7a0a0m -0g6g",                                 /* F */
    "~8c6a4a0a0g0m4m8m8g -8g5g",                     /* G */
    "-0a0m -8a8m -0g8g",                             /* H */
    "-0a4a -2a2m -0m4m",                             /* I */
    "~6a6g6m3m0m0k",                                 /* J */
    "-0a0m -8a0i -3f8m",                             /* K */
    "-0a0m7m",                                       /* L */
    "-0m0a4i8a8m",                                   /* M */
    "-0m0a8m8a",                                     /* N */
    "o4a8a8g8m4m0m0g0a",                             /* O */
    "-0a0m ~0a4a8a8h4h0h",                           /* P */
    "o4a8a8g8m4m0m0g0a -5i8n",                       /* Q */
    "-0a0m ~0a4a8a8h4h0h -4h8m",                     /* R */
    "~8c7a4a0a0f4g8h8m4m1m0k",                       /* S */
    "-0a8a -4a4m",                                   /* T */
    "~0a0g0m4m8m8g8a",                               /* U */
    "-0a4m8a",                                       /* V */
    "-0a2m5c8m:a",                                   /* W */
    "-0a8m -8a0m",                                   /* X */
    "-0a4g8a -4g4m",                                 /* Y */
    "-0a7a0m7m",                                     /* Z */
    "-2a0a0n2n",                                     /* [ */
    "-0a5m",                                         /* \ */
    "-0a2a2n0n",                                     /* ] */
    "-0d3a6d",                                       /* ^ */
    "-0o7o",                                         /* _ */
    "-0a2c",                                         /* ` */
    "o3e6e6i6m3m0m0i0e -6e6m",                       /* a */
    "o3e6e6i6m3m0m0i0e -0a0m",                       /* b */
    "~6f4e3e0e0i0m3m4m6l",                           /* c */
    "o3e6e6i6m3m0m0i0e -6a6m",                       /* d */
    "-0i6i ~6i6e3e0e0i0m3m5m6l",                     /* e */
    "~5a2a2d2m -0e4e",                               /* f */
    "o3e6e6i6m3m0m0i0e ~6e6k6q3q0p",                 /* g */
    "-0a0m ~0i0e3e6e6i6m",                           /* h */
    "-0b0b -0e0m",                                   /* i */
    "-2b2b ~2e2k2q0q",                               /* j */
    "-0a0m -6e0j -2h6m",                             /* k */
    "~0a0g0m2m",                                     /* l */
    "-0e0m ~0h0e2e4e4h4m ~4h4e6e8e8h8m",             /* m */
    "-0e0m ~0i0e3e6e6i6m",                           /* n */
    "o3e6e6i6m3m0m0i0e",                             /* o */
    "o3e6e6i6m3m0m0i0e -0e0q",                       /* p */
    "o3e6e6i6m3m0m0i0e -6e6q",                       /* q */
    "-0e0m ~0i0e2e4e",                               /* r */
    "~6f5e3e0e0h3i6j6m3m1m0l",                       /* s */
    "~2b2h2m5m -0e4e",                               /* t */
    "~0e0i0m3m6m6i -6e6m",                           /* u */
    "-0e3m6e",                                       /* v */
    "-0e2m4f6m8e",                                   /* w */
    "-0e6m -6e0m",                                   /* x */
    "-0e3m -6e2p",                                   /* y */
    "-0e6e0m6m",                                     /* z */
    "~4a2a2d2g0g ~0g2g2j2n4n",                       /* { */
    "-0a0o",                                         /* | */
    "~0a2a2d2g4g ~4g2g2j2n0n",                       /* } */
    "~0i0g2g4i6i6g",                                 /* ~ */
};

const char *fly_font_strokes(unsigned code)
{
    if (code >= 32 && code < 127)
        return glyphs[code - 32];
    if (code == 0xB1) /* plus-minus */
        return "-3c3i -0f6f -0m6m";
    return "-0b6b6m0m0b";
}
