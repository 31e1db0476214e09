/* An H.264 file in Annex B, taken apart into access units. A unit ends before the next parameter set, delimiter or first slice. */

#include "demo.h"

#include <stdio.h>
#include <stdlib.h>

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
    clip->frames = NULL;
    clip->count = 0;
    clip->fps = fps;
    if (read_file(path, &clip->bytes, &clip->size) != 0) {
        fprintf(stderr, "demo: cannot read the clip %s\n", path);
        return -1;
    }
    for (at = next_start(clip->bytes, clip->size, 0); ; ) {
        size_t header = at;
        int type = -1, is_first = 0;
        if (at < clip->size) {
            while (clip->bytes[header] == 0) header += 1;
            header += 1;
            type = clip->bytes[header] & 0x1f;
            /* first_mb_in_slice is 0: its code is a single 1. */
            is_first = (type == 1 || type == 5) && header + 1 < clip->size && (clip->bytes[header + 1] & 0x80);
        }
        if (has_slice && (type == -1 || type == 9 || type == 7 || type == 8 || type == 6 || is_first)) {
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
        if (type == -1) break;
        has_slice |= type == 1 || type == 5;
        is_key |= type == 5;
        at = next_start(clip->bytes, clip->size, header);
    }
    if (clip->count == 0 || !clip->frames[0].is_key) {
        fprintf(stderr, "demo: the clip %s is no H.264 byte stream that begins with a keyframe\n", path);
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
