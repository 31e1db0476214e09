/* An H.264 or H.265 file in Annex B, taken apart into access units. A unit ends before the next parameter set, delimiter or first slice. */

#include "demo.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A NAL unit, as far as access units need it. */
typedef enum { NAL_END, NAL_SLICE, NAL_FIRST_SLICE, NAL_KEY_SLICE, NAL_FIRST_KEY_SLICE, NAL_BEFORE_SLICE, NAL_OTHER } nal_t;

/* ITU-T H.264, 7.3.1 and 7.4.1.2.3; first_mb_in_slice is 0 where its code is a single 1. */
static nal_t h264_nal(const uint8_t *nal, size_t length)
{
    int type = nal[0] & 0x1f, is_first = length > 1 && (nal[1] & 0x80);
    if (type == 1) return is_first ? NAL_FIRST_SLICE : NAL_SLICE;
    if (type == 5) return is_first ? NAL_FIRST_KEY_SLICE : NAL_KEY_SLICE;
    return type >= 6 && type <= 9 ? NAL_BEFORE_SLICE : NAL_OTHER;
}

/* ITU-T H.265, 7.3.1.2 and 7.4.2.4.4; first_slice_segment_in_pic_flag is the first bit after the header. */
static nal_t h265_nal(const uint8_t *nal, size_t length)
{
    int type = (nal[0] >> 1) & 0x3f, is_first = length > 2 && (nal[2] & 0x80);
    if (type < 16) return is_first ? NAL_FIRST_SLICE : NAL_SLICE;
    if (type < 32) return is_first ? NAL_FIRST_KEY_SLICE : NAL_KEY_SLICE;
    return (type >= 32 && type <= 35) || type == 39 ? NAL_BEFORE_SLICE : NAL_OTHER;
}

static int read_file(const char *path, uint8_t **bytes, size_t *size)
{
    FILE *file = fopen(path, "rb");
    long length;
    if (!file) return -1;
    if (fseek(file, 0, SEEK_END) != 0 || (length = ftell(file)) < 0 || fseek(file, 0, SEEK_SET) != 0) {
        fclose(file);
        return -1;
    }
    *size = (size_t)length;
    *bytes = malloc(*size + 1);
    if (!*bytes || fread(*bytes, 1, *size, file) != *size) {
        free(*bytes);
        fclose(file);
        return -1;
    }
    fclose(file);
    return 0;
}

/* Position of the next start code from `at` on, with a zero byte before it where there is one; `size` if there is none. */
static size_t next_start(const uint8_t *bytes, size_t size, size_t at)
{
    for (; at + 3 < size; at += 1) {
        if (bytes[at] == 0 && bytes[at + 1] == 0 && bytes[at + 2] == 1) return at > 0 && bytes[at - 1] == 0 ? at - 1 : at;
    }
    return size;
}

int clip_open(clip_t *clip, const char *path, unsigned fps)
{
    size_t at, room = 0, begin = 0;
    int has_slice = 0, is_key = 0;
    const char *ending = strrchr(path, '.');
    clip->frames = NULL;
    clip->count = 0;
    clip->fps = fps;
    clip->is_h265 = ending && strcmp(ending, ".h265") == 0;
    if (read_file(path, &clip->bytes, &clip->size) != 0) {
        fprintf(stderr, "demo: cannot read the clip %s\n", path);
        return -1;
    }
    for (at = next_start(clip->bytes, clip->size, 0); ; ) {
        size_t header = at;
        nal_t nal = NAL_END;
        if (at < clip->size) {
            while (clip->bytes[header] == 0) header += 1;
            header += 1;
            nal = (clip->is_h265 ? h265_nal : h264_nal)(clip->bytes + header, clip->size - header);
        }
        if (has_slice && (nal == NAL_END || nal == NAL_BEFORE_SLICE || nal == NAL_FIRST_SLICE || nal == NAL_FIRST_KEY_SLICE)) {
            if (clip->count == room) {
                void *more;
                room = room ? 2 * room : 64;
                more = realloc(clip->frames, room * sizeof *clip->frames);
                if (!more) {
                    clip_close(clip);
                    return -1;
                }
                clip->frames = more;
            }
            clip->frames[clip->count].offset = begin;
            clip->frames[clip->count].length = at - begin;
            clip->frames[clip->count].is_key = is_key;
            clip->count += 1;
            begin = at;
            has_slice = is_key = 0;
        }
        if (nal == NAL_END) break;
        has_slice |= nal >= NAL_SLICE && nal <= NAL_FIRST_KEY_SLICE;
        is_key |= nal == NAL_KEY_SLICE || nal == NAL_FIRST_KEY_SLICE;
        at = next_start(clip->bytes, clip->size, header);
    }
    if (clip->count == 0 || !clip->frames[0].is_key) {
        fprintf(stderr, "demo: the clip %s is no byte stream of H.264 (.h264) or H.265 (.h265) that begins with a keyframe\n", path);
        clip_close(clip);
        return -1;
    }
    return 0;
}

void clip_close(clip_t *clip)
{
    free(clip->bytes);
    free(clip->frames);
    clip->bytes = NULL;
    clip->frames = NULL;
    clip->count = 0;
}
