/* A thread for each stream that a visitor gets: the clip in a loop, or recordings from the card. */

#define _POSIX_C_SOURCE 200809L

#include "demo.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define MAX_SENDERS 64

typedef struct {
    int is_used;
    uint32_t visitor, channel;
    iv_avt_video_res_type_e quality;
    iv_cm_time_fragment_s time;
    pthread_t thread;
    /* Changed by callbacks, read by the thread. */
    int stop, want_key, paused, keys_only;
    unsigned interval_ms;
    int64_t seek_ms;
    /* Backwards, down to this time. */
    int backwards;
    uint64_t back_to_ms;
    /* Counted by the thread. */
    unsigned frames, refused;
    iv_avt_event_e mark;
} sender_t;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static sender_t senders[MAX_SENDERS];
static const clip_t *clips;
static size_t clip_count;
static const char *card_folder;

void senders_init(const clip_t *given, size_t count, const char *card)
{
    clips = given;
    clip_count = count;
    card_folder = card;
}

static uint64_t now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* Waits until then, or until something is changed. */
static void wait_until(uint64_t due)
{
    struct timespec until;
    uint64_t now = now_ms(), rest = due > now ? due - now : 0;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += (time_t)(rest / 1000);
    until.tv_nsec += (long)(rest % 1000) * 1000000;
    if (until.tv_nsec >= 1000000000) {
        until.tv_sec += 1;
        until.tv_nsec -= 1000000000;
    }
    pthread_cond_timedwait(&changed, &lock, &until);
}

static int send_video(const sender_t *sender, const clip_t *clip, size_t frame, uint64_t pts, uint32_t seq)
{
    iv_cm_venc_pack_s pack;
    iv_cm_venc_stream_s stream;
    memset(&stream, 0, sizeof stream);
    pack.pu8Addr = clip->bytes + clip->frames[frame].offset;
    pack.u32Len = (uint32_t)clip->frames[frame].length;
    pack.u64PTS = pts;
    pack.eFrameType = clip->frames[frame].is_key ? IV_CM_FRAME_TYPE_I : IV_CM_FRAME_TYPE_P;
    pack.u32Seq = seq;
    stream.pstVencPack[0] = &pack;
    stream.u32PackCount = 1;
    return iv_avt_send_stream(sender->visitor, sender->channel, sender->quality, IV_AVT_STREAM_TYPE_VIDEO, &stream);
}

static void send_tone(const sender_t *sender, uint64_t pts, uint32_t seq, uint64_t sample)
{
    uint8_t data[160];
    iv_cm_aenc_pack_s pack;
    iv_cm_aenc_stream_s stream;
    memset(&stream, 0, sizeof stream);
    /* Each channel has a pitch of its own. */
    tone_g711a(data, sizeof data, 600 + 200 * sender->channel, sample);
    pack.pu8Addr = data;
    pack.u32Len = sizeof data;
    pack.u64PTS = pts;
    pack.u32Seq = seq;
    stream.pstAencPack[0] = &pack;
    stream.u32PackCount = 1;
    iv_avt_send_stream(sender->visitor, sender->channel, sender->quality, IV_AVT_STREAM_TYPE_AUDIO, &stream);
}

/* The clip in a loop. A camera makes a keyframe when it is asked; a clip goes on at its next one. */
static void play_clip(sender_t *sender, const clip_t *clip)
{
    uint64_t start = now_ms(), sample = 0;
    uint32_t video = 0, audio = 0;
    size_t frame = 0;
    int need_key = 1;
    while (!sender->stop) {
        uint64_t at = (uint64_t)video * 1000 / clip->fps;
        int code;
        while (!sender->stop && now_ms() < start + at) wait_until(start + at);
        if (sender->stop) return;
        if (sender->want_key) {
            sender->want_key = 0;
            frame = 0;
        }
        if (need_key) frame = 0;
        pthread_mutex_unlock(&lock);
        code = send_video(sender, clip, frame, start + at, video);
        while (sample * 1000 / 8000 <= at) {
            send_tone(sender, start + sample * 1000 / 8000, audio, sample);
            sample += 160;
            audio += 1;
        }
        pthread_mutex_lock(&lock);
        need_key = code != IV_ERR_NONE;
        if (code == IV_ERR_NONE) sender->frames += 1; else sender->refused += 1;
        video += 1;
        frame = (frame + 1) % clip->count;
    }
}

/* Where playback goes after a recording. */
typedef enum { NEXT, PREVIOUS, ELSEWHERE } way_t;

/* The keyframe at or before a frame. */
static size_t key_at(const clip_t *clip, size_t frame)
{
    while (frame > 0 && !clip->frames[frame].is_key) frame -= 1;
    return frame;
}

/* One recording. `from_ms`: since its begin. */
static way_t play_recording(sender_t *sender, const recording_t *recording, uint64_t from_ms)
{
    clip_t clip;
    char path[1200];
    size_t frame;
    uint64_t due = now_ms(), pts = now_ms();
    uint32_t seq = 0;
    way_t way = NEXT;
    snprintf(path, sizeof path, "%s/%s", card_folder, recording->name);
    pthread_mutex_unlock(&lock);
    if (clip_open(&clip, path, 25) != 0) {
        pthread_mutex_lock(&lock);
        return sender->backwards ? PREVIOUS : NEXT;
    }
    pthread_mutex_lock(&lock);
    frame = (size_t)(from_ms * clip.fps / 1000);
    if (frame >= clip.count) frame = clip.count - 1;
    frame = key_at(&clip, frame);
    while (frame < clip.count) {
        int code, is_key;
        if (sender->backwards) frame = key_at(&clip, frame);
        is_key = clip.frames[frame].is_key;
        while (!sender->stop && sender->seek_ms < 0 && (sender->paused || now_ms() < due)) wait_until(sender->paused ? now_ms() + 1000 : due);
        if (sender->stop || sender->seek_ms >= 0) {
            way = ELSEWHERE;
            break;
        }
        if (!sender->keys_only || is_key) {
            pthread_mutex_unlock(&lock);
            code = send_video(sender, &clip, frame, pts, seq);
            pthread_mutex_lock(&lock);
            seq += 1;
            if (code == IV_ERR_NONE) {
                sender->frames += 1;
            } else {
                sender->refused += 1;
                if (code == IV_ERR_AVT_NEED_IDR_FRAME && !is_key) {
                    /* Back to the keyframe that it depends on. */
                    frame = key_at(&clip, frame);
                    due = now_ms() + sender->interval_ms;
                    continue;
                }
            }
            due = now_ms() > due + 1000 ? now_ms() : due + sender->interval_ms;
            pts += sender->interval_ms;
        }
        if (sender->backwards && is_key) {
            size_t before = frame > 0 ? key_at(&clip, frame - 1) : 0;
            if (recording->begin * 1000 + before * 1000 / clip.fps < sender->back_to_ms) {
                /* Forward again. */
                sender->backwards = 0;
            } else if (frame == 0) {
                way = PREVIOUS;
                break;
            } else {
                /* Keyframes, at four times the speed. */
                uint64_t pause = (frame - before) * sender->interval_ms / 4;
                due += pause;
                pts += pause;
                frame = before;
                continue;
            }
        }
        frame += 1;
    }
    pthread_mutex_unlock(&lock);
    clip_close(&clip);
    pthread_mutex_lock(&lock);
    return way;
}

static void play_card(sender_t *sender)
{
    uint64_t from_ms = sender->time.begin_time_s * 1000;
    for (;;) {
        recording_t *list = NULL;
        int count, at = 0;
        way_t way = NEXT;
        pthread_mutex_unlock(&lock);
        count = card_folder ? card_list(card_folder, sender->time.begin_time_s, sender->time.end_time_s, &list) : 0;
        pthread_mutex_lock(&lock);
        while (at < count && list[at].end * 1000 <= from_ms) at += 1;
        while (at < count && way != ELSEWHERE) {
            uint64_t begin_ms = list[at].begin * 1000;
            way = play_recording(sender, &list[at], from_ms > begin_ms ? from_ms - begin_ms : 0);
            if (way == NEXT) {
                at += 1;
            } else if (way == PREVIOUS) {
                if (at > 0) at -= 1; else sender->backwards = 0;
                /* From its end, or from the very beginning. */
                from_ms = sender->backwards ? list[at].end * 1000 : list[at].begin * 1000;
            }
        }
        free(list);
        if (sender->stop) return;
        if (sender->seek_ms < 0) break;
        from_ms = (uint64_t)sender->seek_ms;
        sender->seek_ms = -1;
    }
    pthread_mutex_unlock(&lock);
    iv_avt_send_finish_stream(sender->visitor, sender->channel, sender->quality);
    pthread_mutex_lock(&lock);
}

static void *run(void *argument)
{
    sender_t *sender = argument;
    pthread_mutex_lock(&lock);
    if (sender->quality == IV_AVT_VIDEO_RES_PB) play_card(sender);
    else play_clip(sender, &clips[sender->channel % clip_count]);
    pthread_mutex_unlock(&lock);
    return NULL;
}

static sender_t *find(uint32_t visitor, uint32_t channel, iv_avt_video_res_type_e quality)
{
    size_t at;
    for (at = 0; at < MAX_SENDERS; at += 1) {
        sender_t *sender = &senders[at];
        if (sender->is_used && !sender->stop && sender->visitor == visitor && sender->channel == channel && sender->quality == quality) return sender;
    }
    return NULL;
}

int sender_start(uint32_t visitor, uint32_t channel, iv_avt_video_res_type_e quality, const iv_cm_time_fragment_s *time)
{
    size_t at;
    int code = IV_ERR_AVT_FAILED;
    pthread_mutex_lock(&lock);
    for (at = 0; at < MAX_SENDERS; at += 1) {
        sender_t *sender = &senders[at];
        if (sender->is_used && sender->stop == 2) {
            /* Its thread has been told to end, and nobody waits for it any more. */
            pthread_mutex_unlock(&lock);
            pthread_join(sender->thread, NULL);
            pthread_mutex_lock(&lock);
            sender->is_used = 0;
        }
        if (sender->is_used) continue;
        memset(sender, 0, sizeof *sender);
        sender->visitor = visitor;
        sender->channel = channel;
        sender->quality = quality;
        sender->seek_ms = -1;
        sender->interval_ms = 40;
        if (time) sender->time = *time;
        if (pthread_create(&sender->thread, NULL, run, sender) == 0) {
            sender->is_used = 1;
            code = IV_ERR_NONE;
        }
        break;
    }
    pthread_mutex_unlock(&lock);
    return code;
}

void sender_stop(uint32_t visitor, uint32_t channel, iv_avt_video_res_type_e quality)
{
    sender_t *sender;
    pthread_mutex_lock(&lock);
    sender = find(visitor, channel, quality);
    if (sender) sender->stop = 2;
    pthread_cond_broadcast(&changed);
    pthread_mutex_unlock(&lock);
}

void sender_want_keyframe(uint32_t visitor, uint32_t channel, iv_avt_video_res_type_e quality)
{
    sender_t *sender;
    pthread_mutex_lock(&lock);
    sender = find(visitor, channel, quality);
    if (sender) sender->want_key = 1;
    pthread_mutex_unlock(&lock);
}

int playback_control(uint32_t visitor, uint32_t channel, iv_avt_command_type_e command, const void *args)
{
    int code = IV_ERR_NONE;
    sender_t *sender;
    pthread_mutex_lock(&lock);
    sender = find(visitor, channel, IV_AVT_VIDEO_RES_PB);
    if (!sender) {
        code = IV_ERR_AVT_CHN_NOT_EXIT;
    } else if (command == IV_AVT_COMMAND_PLAYBACK_PAUSE) {
        sender->paused = 1;
    } else if (command == IV_AVT_COMMAND_PLAYBACK_RESUME) {
        sender->paused = 0;
        sender->backwards = 0;
    } else if (command == IV_AVT_COMMAND_PLAYBACK_SEEK) {
        sender->seek_ms = (int64_t)((const iv_cm_pb_seek_s *)args)->seek_time_ms;
        sender->backwards = 0;
    } else if (command == IV_AVT_COMMAND_PLAYBACK_FF) {
        sender->keys_only = ((const iv_cm_pb_ff_s *)args)->speed > 0;
        sender->backwards = 0;
    } else if (command == IV_AVT_COMMAND_PLAYBACK_REWIND) {
        sender->backwards = 1;
        sender->paused = 0;
        sender->back_to_ms = ((const iv_cm_pb_rewind_s *)args)->begin_time_s * 1000;
    } else if (command == IV_AVT_COMMAND_PLAYBACK_SPEED) {
        unsigned interval = ((const iv_cm_pb_speed_s *)args)->time_ms;
        if (interval < 5 || interval > 1000) code = IV_ERR_AVT_INPUT_PARAM_INVAILD;
        else sender->interval_ms = interval;
    } else {
        code = IV_ERR_AVT_INPUT_PARAM_INVAILD;
    }
    pthread_cond_broadcast(&changed);
    pthread_mutex_unlock(&lock);
    return code;
}

void senders_print_status(void)
{
    size_t at;
    pthread_mutex_lock(&lock);
    for (at = 0; at < MAX_SENDERS; at += 1) {
        sender_t *sender = &senders[at];
        iv_p2p_send_stats_s stats;
        if (!sender->is_used || sender->stop) continue;
        if (iv_avt_get_send_stream_status(sender->visitor, sender->channel, sender->quality, &stats) != IV_ERR_NONE) continue;
        printf("stream visitor=%u channel=%u quality=%d frames=%u refused=%u rate=%u acked_rate=%u acked=%llu mode=%u buffered=%zu\n",
               sender->visitor, sender->channel, (int)sender->quality, sender->frames, sender->refused, stats.inst_net_rate,
               stats.ave_sent_rate, (unsigned long long)stats.sum_sent_acked, stats.link_mode,
               iv_avt_get_send_stream_buf(sender->visitor, sender->channel, sender->quality));
    }
    pthread_mutex_unlock(&lock);
    printf("status end\n");
}

void senders_join(void)
{
    size_t at;
    pthread_mutex_lock(&lock);
    for (at = 0; at < MAX_SENDERS; at += 1) senders[at].stop = senders[at].is_used ? 2 : 0;
    pthread_cond_broadcast(&changed);
    pthread_mutex_unlock(&lock);
    for (at = 0; at < MAX_SENDERS; at += 1) {
        if (senders[at].is_used) pthread_join(senders[at].thread, NULL);
        senders[at].is_used = 0;
    }
}
