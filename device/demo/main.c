/* A camera: clips as its channels, a folder as its memory card, commands on the console. See docs/device.md. */

#define _POSIX_C_SOURCE 200809L

#include "demo.h"

#include "iv_sys.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define MAX_CLIPS 8

static const char *card;
static clip_t clips[MAX_CLIPS];
static size_t channel_count;
static unsigned width = 640, height = 360, fps = 25;
static unsigned max_talkers = 1;
static int pan, tilt;

/* ---- Live view ---- */

static void get_enc_info(uint32_t visitor, uint32_t channel, iv_avt_video_res_type_e quality, iv_cm_av_data_info_s *info)
{
    (void)visitor;
    info->eAudioType = IV_CM_AENC_TYPE_G711A;
    info->eAudioMode = IV_CM_AENC_MODE_MONO;
    info->eAudioBitWidth = IV_CM_AENC_BIT_WIDTH_16;
    info->eAudioSampleRate = IV_CM_AENC_SAMPLE_RATE_8000;
    info->u32SampleNumPerFrame = 160;
    /* Recordings are H.264. */
    info->eVideoType = quality != IV_AVT_VIDEO_RES_PB && clips[channel % channel_count].is_h265 ? IV_CM_VENC_TYPE_H265 : IV_CM_VENC_TYPE_H264;
    info->u32VideoWidth = width;
    info->u32VideoHeight = height;
    info->u32Framerate = fps;
}

static void start_play(uint32_t visitor, uint32_t channel, iv_avt_video_res_type_e quality, void *args)
{
    printf("start visitor=%u channel=%u quality=%d\n", visitor, channel, (int)quality);
    if (sender_start(visitor, channel, quality, args) != IV_ERR_NONE) iv_avt_send_finish_stream(visitor, channel, quality);
}

static void stop_play(uint32_t visitor, uint32_t channel, iv_avt_video_res_type_e quality)
{
    printf("stop visitor=%u channel=%u quality=%d\n", visitor, channel, (int)quality);
    sender_stop(visitor, channel, quality);
}

/* ---- Talk-back ---- */

static struct {
    int is_on;
    uint32_t visitor;
    int16_t samples[8000];
    size_t count;
} talk;

static int start_talk(uint32_t visitor, uint32_t channel, iv_cm_av_data_info_s *info)
{
    printf("talk start visitor=%u channel=%u codec=%d rate=%d\n", visitor, channel, (int)info->eAudioType, (int)info->eAudioSampleRate);
    talk.is_on = 1;
    talk.visitor = visitor;
    talk.count = 0;
    return IV_ERR_NONE;
}

static int stop_talk(uint32_t visitor, uint32_t channel, iv_avt_stream_type_e type)
{
    (void)type;
    printf("talk stop visitor=%u channel=%u\n", visitor, channel);
    talk.is_on = 0;
    return IV_ERR_NONE;
}

/* Each second it tells the loudest of some pitches: the demo's speaker. */
static int hear(uint32_t visitor, uint32_t channel, iv_avt_stream_type_e type, void *p_stream)
{
    const iv_cm_aenc_stream_s *stream = p_stream;
    uint32_t pack, at;
    (void)type;
    for (pack = 0; pack < stream->u32PackCount; pack += 1) {
        const iv_cm_aenc_pack_s *audio = stream->pstAencPack[pack];
        for (at = 0; at < audio->u32Len && talk.count < 8000; at += 1) talk.samples[talk.count++] = g711a_decode(audio->pu8Addr[at]);
    }
    if (talk.count >= 8000) {
        unsigned hertz, best = 0;
        double most = 0;
        for (hertz = 300; hertz <= 2000; hertz += 100) {
            double share = pitch_share(talk.samples, 8000, 8000, hertz);
            if (share > most) {
                most = share;
                best = hertz;
            }
        }
        printf("heard visitor=%u channel=%u hertz=%u share=%.2f\n", visitor, channel, best, most);
        talk.count = 0;
    }
    return IV_ERR_NONE;
}

/* ---- Commands ---- */

static void free_bytes(uint8_t *bytes, size_t size)
{
    (void)size;
    free(bytes);
}

static void free_list(void *list)
{
    free(list);
}

static int give(iv_cm_memory_s *memory, const void *bytes, size_t size)
{
    memory->buf = malloc(size);
    if (!memory->buf) return IV_ERR_AVT_MALLOC_BUFFER_FAILED;
    memcpy(memory->buf, bytes, size);
    memory->size = size;
    memory->buf_free_fn = free_bytes;
    return IV_ERR_NONE;
}

/* "ptz DX DY" moves the camera and answers where it looks; anything else is echoed. */
static int user_data(uint32_t visitor, iv_avt_usr_data_parm_s *data)
{
    char reply[64];
    int dx, dy;
    if (data->src_len < 60 && sscanf(data->src, "ptz %d %d", &dx, &dy) == 2) {
        pan += dx;
        tilt += dy;
        printf("ptz visitor=%u pan=%d tilt=%d\n", visitor, pan, tilt);
        snprintf(reply, sizeof reply, "{\"pan\":%d,\"tilt\":%d}", pan, tilt);
        return give(&data->dst, reply, strlen(reply));
    }
    printf("user data visitor=%u bytes=%u\n", visitor, data->src_len);
    return give(&data->dst, data->src, data->src_len);
}

static uint64_t midnight(unsigned year, unsigned month, unsigned day)
{
    struct tm time;
    memset(&time, 0, sizeof time);
    time.tm_year = (int)year - 1900;
    time.tm_mon = (int)month - 1;
    time.tm_mday = (int)day;
    time.tm_isdst = -1;
    return (uint64_t)mktime(&time);
}

static int query_month(iv_cm_query_rd_by_month_s *query)
{
    unsigned day;
    query->day = 0;
    for (day = 1; day <= 31; day += 1) {
        recording_t *list = NULL;
        struct tm check;
        time_t begin = (time_t)midnight(query->year, query->month, day);
        localtime_r(&begin, &check);
        if ((unsigned)check.tm_mon + 1 != query->month) break;
        if (card && card_list(card, (uint64_t)begin, midnight(query->year, query->month, day + 1), &list) > 0) query->day |= 1u << (day - 1);
        free(list);
    }
    return IV_ERR_NONE;
}

static int query_day(iv_cm_query_rd_by_day_s *query)
{
    recording_t *list = NULL;
    int count = card ? card_list(card, query->time_fragment.begin_time_s, query->time_fragment.end_time_s, &list) : 0, at;
    iv_cm_pb_list_s *answer;
    if (count < 0) return IV_ERR_AVT_FAILED;
    answer = malloc(sizeof *answer + (size_t)count * sizeof(iv_cm_time_fragment_s));
    if (answer) {
        answer->count = (uint32_t)count;
        for (at = 0; at < count; at += 1) {
            answer->file_list[at].type = 0;
            answer->file_list[at].begin_time_s = list[at].begin;
            answer->file_list[at].end_time_s = list[at].end;
        }
    }
    free(list);
    query->rd_array = answer;
    query->free_fn = free_list;
    return answer ? IV_ERR_NONE : IV_ERR_AVT_MALLOC_BUFFER_FAILED;
}

static int query_files(iv_cm_query_file_list_s *query)
{
    recording_t *list = NULL;
    int count = card ? card_list(card, query->time_fragment.begin_time_s, query->time_fragment.end_time_s, &list) : 0, at;
    iv_cm_file_list_s *answer;
    if (count < 0) return IV_ERR_AVT_FAILED;
    answer = calloc(1, sizeof *answer + (size_t)count * sizeof(iv_cm_file_info_s));
    if (answer) {
        answer->count = (uint32_t)count;
        for (at = 0; at < count; at += 1) {
            iv_cm_file_info_s *file = &answer->file_list[at];
            strcpy(file->file_name, list[at].name);
            file->file_size = list[at].size;
            file->begin_time_s = (uint32_t)list[at].begin;
            file->end_time_s = (uint32_t)list[at].end;
        }
    }
    free(list);
    query->file_array = answer;
    query->free_fn = free_list;
    return answer ? IV_ERR_NONE : IV_ERR_AVT_MALLOC_BUFFER_FAILED;
}

static int command(iv_avt_command_type_e command, uint32_t visitor, uint32_t channel, iv_avt_video_res_type_e quality, void *args)
{
    switch ((int)command) {
    case IV_AVT_COMMAND_USR_DATA:
        return user_data(visitor, args);
    case IV_AVT_COMMAND_REQ_STREAM: {
        iv_avt_req_stream_param_s *request = args;
        int is_taken = request->request_type == IV_AVT_REQUEST_RECV_STREAM && (max_talkers == 0 || (talk.is_on && talk.visitor != visitor));
        request->request_result = is_taken ? IV_AVT_DEV_REFUSE : IV_AVT_DEV_ACCEPT;
        return IV_ERR_NONE;
    }
    case IV_AVT_COMMAND_CHN_NAME: {
        iv_avt_chn_name_param_s *name = args;
        char text[32];
        if (channel >= channel_count) return IV_ERR_AVT_CHN_NOT_EXIT;
        name->is_online = 1;
        snprintf(text, sizeof text, "Camera %u", channel + 1);
        return give(&name->name, text, strlen(text));
    }
    case IV_AVT_COMMAND_REQ_IFRAME:
        sender_want_keyframe(visitor, channel, quality);
        return IV_ERR_NONE;
    case IV_AVT_COMMAND_PLAYBACK_QUERY_MONTH:
        return query_month(args);
    case IV_AVT_COMMAND_PLAYBACK_QUERY_DAY:
        return query_day(args);
    case IV_AVT_COMMAND_QUERY_FILE_LIST:
        return query_files(args);
    default:
        printf("playback visitor=%u channel=%u command=%d\n", visitor, channel, (int)command);
        return playback_control(visitor, channel, command, args);
    }
}

static void notify(iv_avt_event_e event, uint32_t visitor, uint32_t channel, iv_avt_video_res_type_e quality)
{
    if (event == IV_AVT_EVENT_P2P_PEER_READY) printf("peer info: %s\n", iv_avt_get_peerinfo());
    printf("event %d visitor=%u channel=%u quality=%d\n", (int)event, visitor, channel, (int)quality);
}

/* ---- Download ---- */

static struct {
    FILE *file;
    uint32_t visitor, channel;
    uint8_t block[32 * 1024];
} downloads[8];

static int download(iv_avt_download_status_e status, uint32_t visitor, uint32_t channel, void *args)
{
    size_t at, free_one = 8, known = 8;
    for (at = 0; at < 8; at += 1) {
        if (!downloads[at].file) free_one = at;
        else if (downloads[at].visitor == visitor && downloads[at].channel == channel) known = at;
    }
    if (status == IV_AVT_DOWNLOAD_STATUS_START) {
        const iv_cm_download_param_s *wanted = args;
        char path[1200];
        if (!card || free_one == 8 || strchr(wanted->file_name, '/')) return IV_ERR_AVT_FAILED;
        snprintf(path, sizeof path, "%s/%s", card, wanted->file_name);
        downloads[free_one].file = fopen(path, "rb");
        if (!downloads[free_one].file) return IV_ERR_AVT_INPUT_PARAM_INVAILD;
        if (fseek(downloads[free_one].file, wanted->file_offset, SEEK_SET) != 0) {
            fclose(downloads[free_one].file);
            downloads[free_one].file = NULL;
            return IV_ERR_AVT_INPUT_PARAM_INVAILD;
        }
        downloads[free_one].visitor = visitor;
        downloads[free_one].channel = channel;
        printf("download start visitor=%u name=%s offset=%d\n", visitor, wanted->file_name, wanted->file_offset);
        return IV_ERR_NONE;
    }
    if (known == 8) return IV_ERR_AVT_CHN_NOT_EXIT;
    if (status == IV_AVT_DOWNLOAD_STATUS_RUNNING) {
        iv_cm_memory_s *block = args;
        block->buf = downloads[known].block;
        block->size = fread(downloads[known].block, 1, sizeof downloads[known].block, downloads[known].file);
        return IV_ERR_NONE;
    }
    fclose(downloads[known].file);
    downloads[known].file = NULL;
    printf("download stop visitor=%u\n", visitor);
    return IV_ERR_NONE;
}

/* ---- Life ---- */

static void online(uint64_t now)
{
    printf("online %" PRIu64 "\n", now);
}

static void offline(iv_sys_offline_status_type_e status)
{
    printf("offline %d\n", (int)status);
}

static int start(const char *server, const char *product, const char *device, const char *key, unsigned viewers, int has_tcp,
                 unsigned max_frame, unsigned keep_alive)
{
    iv_sys_device_info info;
    iv_sys_init_parm_s system;
    iv_avt_init_parm_s avt;
    int code;
    memset(&info, 0, sizeof info);
    memset(&system, 0, sizeof system);
    memset(&avt, 0, sizeof avt);
    info.product_id = product;
    info.device_name = device;
    info.region = server;
    info.device_key = key;
    system.device_info = &info;
    system.auto_connect_enable = 1;
    system.max_channel_num = channel_count > 1 ? (uint32_t)channel_count : 0;
    system.iv_sys_online_cb = online;
    system.iv_sys_offline_cb = offline;
    code = iv_sys_init(&system);
    if (code != IV_ERR_NONE) return code;
    avt.max_frame_size = max_frame;
    avt.max_connect_num = viewers;
    avt.iv_avt_get_av_enc_info_cb = get_enc_info;
    avt.iv_avt_start_real_play_cb = start_play;
    avt.iv_avt_stop_real_play_cb = stop_play;
    avt.iv_avt_start_recv_stream_cb = start_talk;
    avt.iv_avt_stop_recv_stream_cb = stop_talk;
    avt.iv_avt_recv_stream_cb = hear;
    avt.iv_avt_notify_cb = notify;
    avt.iv_avt_recv_command_cb = command;
    avt.iv_avt_download_file_cb = download;
    avt.congestion.low_mark = 200 * 1024;
    avt.congestion.warn_mark = 400 * 1024;
    avt.congestion.high_mark = 500 * 1024;
    avt.congestion.enable = true;
    avt.p2p_keep_alive.time_inter_s = (uint8_t)keep_alive;
    avt.p2p_keep_alive.max_attempt_num = 3;
    avt.p2p_init_params.log_level = getenv("IV_DEBUG") ? IV_AVT_P2P_LOG_DEBUG : IV_AVT_P2P_LOG_WARN;
    avt.p2p_init_params.protocol = has_tcp ? IV_AVT_P2P_TCP : IV_AVT_P2P_UDP;
    return iv_avt_init(&avt);
}

/* Reads commands until "quit" or the end of the input. */
static void console(void)
{
    char line[20000];
    while (fgets(line, sizeof line, stdin)) {
        unsigned visitor, channel;
        int quality, read = 0;
        line[strcspn(line, "\n")] = 0;
        if (strcmp(line, "quit") == 0) return;
        if (strcmp(line, "status") == 0) {
            senders_print_status();
        } else if (sscanf(line, "command %u %n", &visitor, &read) == 1 && read > 0) {
            unsigned char reply[16 * 1024];
            size_t length = sizeof reply;
            int code = iv_avt_send_command(visitor, line + read, strlen(line + read), reply, &length, 0);
            printf("command code=%d reply=%.*s\n", code, (int)length, reply);
        } else if (sscanf(line, "finish %u %u %d", &visitor, &channel, &quality) == 3) {
            printf("finish code=%d\n", iv_avt_send_finish_stream(visitor, channel, (iv_avt_video_res_type_e)quality));
        } else if (sscanf(line, "deaf %u %u", &visitor, &channel) == 2) {
            printf("deaf code=%d\n", iv_avt_recv_finish_stream(visitor, channel));
        } else if (*line) {
            printf("commands: status; command VISITOR TEXT; finish VISITOR CHANNEL QUALITY; deaf VISITOR CHANNEL; quit\n");
        }
    }
}

static int usage(void)
{
    fprintf(stderr,
            "A camera of clips.\n\n"
            "  --server URL      the server's WebSocket address: ws://127.0.0.1:8080/ws\n"
            "  --product ID      --device NAME\n"
            "  --key TICKETS     UserSig of PRODUCT_DEVICE and, separated by spaces, of PRODUCT_DEVICE-1 ...\n"
            "  --clip FILE       byte stream of H.264 (.h264) or H.265 (.h265); again for each further channel\n"
            "  --size WxH        of the clips (640x360)\n"
            "  --fps N           of the clips (25)\n"
            "  --card FOLDER     recordings, as BEGIN-END.h264 (Unix seconds)\n"
            "  --viewers N       at once (4)\n"
            "  --keep-alive S    seconds between looks whether viewers are there (10)\n"
            "  --max-frame KB    largest frame (384)\n"
            "  --tcp             media over TCP\n"
            "  --deaf            refuse talk-back\n\n"
            "Any H.264 file becomes a clip by: ffmpeg -i film.mp4 -an -c:v libx264 -profile:v baseline -bf 0 -g 50 -r 25 clip.h264\n");
    return 2;
}

int main(int count, char **arguments)
{
    const char *server = NULL, *product = "cam", *device = "front", *key = NULL;
    const char *files[MAX_CLIPS];
    unsigned viewers = 4, max_frame = 384, keep_alive = 10;
    int at, code, has_tcp = 0;
    setvbuf(stdout, NULL, _IOLBF, 0);
    for (at = 1; at < count; at += 1) {
        const char *name = arguments[at], *value = at + 1 < count ? arguments[at + 1] : NULL;
        if (strcmp(name, "--tcp") == 0) {
            has_tcp = 1;
            continue;
        }
        if (strcmp(name, "--deaf") == 0) {
            max_talkers = 0;
            continue;
        }
        if (!value) return usage();
        at += 1;
        if (strcmp(name, "--server") == 0) server = value;
        else if (strcmp(name, "--product") == 0) product = value;
        else if (strcmp(name, "--device") == 0) device = value;
        else if (strcmp(name, "--key") == 0) key = value;
        else if (strcmp(name, "--card") == 0) card = value;
        else if (strcmp(name, "--viewers") == 0) viewers = (unsigned)atoi(value);
        else if (strcmp(name, "--max-frame") == 0) max_frame = (unsigned)atoi(value);
        else if (strcmp(name, "--keep-alive") == 0) keep_alive = (unsigned)atoi(value);
        else if (strcmp(name, "--fps") == 0) fps = (unsigned)atoi(value);
        else if (strcmp(name, "--size") == 0) {
            if (sscanf(value, "%ux%u", &width, &height) != 2) return usage();
        } else if (strcmp(name, "--clip") == 0 && channel_count < MAX_CLIPS) {
            files[channel_count] = value;
            channel_count += 1;
        } else return usage();
    }
    if (!server || !key || channel_count == 0 || fps == 0) return usage();
    for (at = 0; at < (int)channel_count; at += 1) {
        if (clip_open(&clips[at], files[at], fps) != 0) return 1;
    }
    senders_init(clips, channel_count, card);
    code = start(server, product, device, key, viewers, has_tcp, max_frame, keep_alive);
    if (code != IV_ERR_NONE) {
        fprintf(stderr, "demo: the library answers %d; its log says why\n", code);
        return 1;
    }
    console();
    code = iv_avt_exit();
    senders_join();
    printf("exit code=%d sys=%d\n", code, iv_sys_exit());
    for (at = 0; at < (int)channel_count; at += 1) clip_close(&clips[at]);
    return code == IV_ERR_NONE ? 0 : 1;
}
