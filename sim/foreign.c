#include "sim/foreign.h"

#include <string.h>
#include <strings.h>

/* What people can do with a file that RosettaSciIO or HyperSpy reads. */
#define CONVERT "plugin/clients/python/flyback_convert.py makes a .hspy of it, which import takes"

static int refuse(const char *path, const char *what, const char *todo)
{
    return fly_fail(FLY_ERANGE, "%s: %s; %s", path, what, todo);
}

static int promises_hdf5(const char *path)
{
    static const char *const endings[] = {".emd", ".hspy", ".h5", ".hdf5", ".h5oina"};
    size_t len = strlen(path);

    for (size_t i = 0; i < sizeof endings / sizeof *endings; i++) {
        size_t end = strlen(endings[i]);

        if (len > end && strcasecmp(path + len - end, endings[i]) == 0)
            return 1;
    }
    return 0;
}

int fly_foreign_refuse(const char *path, const unsigned char *magic, size_t len)
{
    static const struct {
        size_t at;
        const char *bytes;
        size_t len;
        const char *what, *todo;
    } known[] = {
        {0, "AAMVHFSS", 8, "a Bruker .bcf", CONVERT},
        {0, "MAPSPECTRA_DATA", 15, "an EDAX spectrum map (.spd)", CONVERT},
        {0, "II\x97\x01", 4, "an FEI/TIA series (.ser)", CONVERT},
        {0, "IMGBLO", 6, "a blockfile of diffraction patterns", "Flyback takes STEM images and EDS"},
        {0, "PK\x03\x04", 4, "a ZIP archive or a Nion .ndata",
         "unpack an archive; of an .ndata " CONVERT},
        {0, "\x1f\x8b", 2, "compressed with gzip", "unpack it first"},
        {0, "MATLAB 5.0 MAT", 14, "a MATLAB file", "save its arrays as .npy"},
        {0, "%PDF", 4, "a PDF", "give the data behind the figure"},
        {0, "GIF8", 4, "a GIF", "save the picture as PNG or TIFF, grey and at full depth"},
        {0, "BM", 2, "a bitmap (.bmp)", "save the picture as PNG or TIFF"},
        {0, "\x89" "FLY\r\n\x1a\n", 8, "a recording of Flyback already", "flyback replay or flyback analyze take it"},
        {0, "#FORMAT", 7, "one spectrum in EMSA/MAS text (.msa)",
         "Flyback needs a scan: a spectrum image or an image"},
    };

    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (known[i].at + known[i].len <= len &&
            memcmp(magic + known[i].at, known[i].bytes, known[i].len) == 0)
            return refuse(path, known[i].what, known[i].todo);
    if (promises_hdf5(path))
        return refuse(path, "not a file that import knows: by its name HDF5, by its first bytes not",
                      "it was copied in part, or is something else; copy it again from where it was saved");
    return refuse(path, "not a file that import knows",
                  "taken are HyperSpy .hspy, Velox .emd, Gatan .dm3 and .dm4, .png, .tiff, .jpg and "
                  ".npy; if HyperSpy or RosettaSciIO reads it, " CONVERT);
}

int fly_foreign_refuse_h5(const char *path, hid_t file)
{
    static const struct {
        const char *attr; /* of the root, or NULL */
        const char *link; /* in the root, or NULL */
        const char *what, *todo;
    } known[] = {
        {"version_major", NULL, "a Berkeley (NCEM) .emd, not a Velox one", CONVERT},
        {NULL, "version_1", "a Berkeley (NCEM) .emd, not a Velox one", CONVERT},
        {NULL, "4DSTEM_experiment", "a 4D-STEM file of py4DSTEM", "Flyback takes STEM images and EDS"},
        {NULL, "Manufacturer", "an Oxford Instruments .h5oina", CONVERT},
        {NULL, "Format Version", "an Oxford Instruments .h5oina", CONVERT},
        {"NeXus_version", NULL, "a NeXus file", CONVERT},
        {"default", NULL, "a NeXus file", CONVERT},
        {NULL, "entry", "a NeXus file", CONVERT},
        {NULL, "data", "perhaps a Nion Swift .h5", CONVERT},
    };

    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if ((known[i].attr && H5Aexists(file, known[i].attr) > 0) ||
            (known[i].link && fly_h5_has(file, known[i].link)))
            return refuse(path, known[i].what, known[i].todo);
    return refuse(path, "an HDF5 file, but neither HyperSpy's nor Velox's",
                  "if HyperSpy or RosettaSciIO reads it, " CONVERT);
}
