/* The parts of the demo camera. */
#ifndef DEMO_H
#define DEMO_H

#include <stddef.h>
#include <stdint.h>

#include "iv_avt.h"

/* ---- clip.c: an H.264 or H.265 file in Annex B as camera ---- */

typedef struct {
    uint8_t *bytes;
    size_t size;
    struct { size_t offset, length; int is_key; } *frames;
    size_t count;
    unsigned fps;
    int is_h265; /* by the file's name */
} clip_t;

/* 0, or -1 with a message on stderr. */
int clip_open(clip_t *clip, const char *path, unsigned fps);
void clip_close(clip_t *clip);

/* ---- sound.c: a tone in G.711 A-law, and how loud a pitch is ---- */

void tone_g711a(uint8_t *out, size_t samples, unsigned hertz, uint64_t first_sample);
int16_t g711a_decode(uint8_t byte);
/* Share of the power at this pitch, 0 to 1. */
double pitch_share(const int16_t *samples, size_t count, unsigned rate, unsigned hertz);

/* ---- card.c: a folder as memory card: files named BEGIN-END.h264 (Unix seconds) ---- */

typedef struct {
    char name[IV_CM_MAX_FILE_NAME_LENGTH];
    uint64_t begin, end;
    uint32_t size;
} recording_t;

/* Recordings that overlap the time, by time; the caller frees *list. Answers their number, or -1. */
int card_list(const char *folder, uint64_t begin, uint64_t end, recording_t **list);

/* ---- sender.c: the threads that send streams ---- */

void senders_init(const clip_t *clips, size_t count, const char *card);
/* 0, or an IV_ERR_*. */
int sender_start(uint32_t visitor, uint32_t channel, iv_avt_video_res_type_e quality, const iv_cm_time_fragment_s *time);
void sender_stop(uint32_t visitor, uint32_t channel, iv_avt_video_res_type_e quality);
void sender_want_keyframe(uint32_t visitor, uint32_t channel, iv_avt_video_res_type_e quality);
/* Of the playback: what the commands change. */
int playback_control(uint32_t visitor, uint32_t channel, iv_avt_command_type_e command, const void *args);
void senders_print_status(void);
void senders_join(void);

#endif
