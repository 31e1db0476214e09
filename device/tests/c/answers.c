/* What the functions answer to wrong calls, before, during and after the library's life. No server is needed. */

#define _POSIX_C_SOURCE 200809L

#include "iv_avt.h"
#include "iv_log.h"
#include "iv_sys.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static int failures;

#define IS(what, expected) \
    do { \
        long got = (long)(what); \
        if (got != (long)(expected)) { \
            fprintf(stderr, "line %d: " #what " is %ld, must be %ld\n", __LINE__, got, (long)(expected)); \
            failures += 1; \
        } \
    } while (0)

/* Whether the last log line names the mistake. */
static char last_line[1024];

static bool log_line(const char *line)
{
    snprintf(last_line, sizeof last_line, "%s", line);
    return true;
}

static void names(const char *text, int line)
{
    if (!strstr(last_line, text)) {
        fprintf(stderr, "line %d: the log says \"%s\" and not \"%s\"\n", line, last_line, text);
        failures += 1;
    }
}

static void info_cb(uint32_t v, uint32_t c, iv_avt_video_res_type_e q, iv_cm_av_data_info_s *i) { (void)v; (void)c; (void)q; (void)i; }
static void start_cb(uint32_t v, uint32_t c, iv_avt_video_res_type_e q, void *a) { (void)v; (void)c; (void)q; (void)a; }
static void stop_cb(uint32_t v, uint32_t c, iv_avt_video_res_type_e q) { (void)v; (void)c; (void)q; }
static int start_recv_cb(uint32_t v, uint32_t c, iv_cm_av_data_info_s *i) { (void)v; (void)c; (void)i; return 0; }
static int stop_recv_cb(uint32_t v, uint32_t c, iv_avt_stream_type_e t) { (void)v; (void)c; (void)t; return 0; }
static int recv_cb(uint32_t v, uint32_t c, iv_avt_stream_type_e t, void *s) { (void)v; (void)c; (void)t; (void)s; return 0; }

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static int connect_failures;

static void notify_cb(iv_avt_event_e e, uint32_t v, uint32_t c, iv_avt_video_res_type_e q)
{
    (void)v;
    (void)c;
    (void)q;
    pthread_mutex_lock(&lock);
    if (e == IV_AVT_EVENT_P2P_PEER_CONNECT_FAIL) connect_failures += 1;
    pthread_cond_signal(&changed);
    pthread_mutex_unlock(&lock);
}

/* Nothing listens at the server's address: after three times access_retry_times attempts the program is told. */
static int wait_for_connect_failure(void)
{
    struct timespec until;
    int count;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += 30;
    pthread_mutex_lock(&lock);
    while (connect_failures == 0 && pthread_cond_timedwait(&changed, &lock, &until) == 0) {}
    count = connect_failures;
    pthread_mutex_unlock(&lock);
    return count;
}

static int command_cb(iv_avt_command_type_e k, uint32_t v, uint32_t c, iv_avt_video_res_type_e q, void *a) { (void)k; (void)v; (void)c; (void)q; (void)a; return 0; }

static iv_avt_init_parm_s good(void)
{
    iv_avt_init_parm_s parm;
    memset(&parm, 0, sizeof parm);
    parm.max_frame_size = 384;
    parm.max_connect_num = 4;
    parm.iv_avt_get_av_enc_info_cb = info_cb;
    parm.iv_avt_start_real_play_cb = start_cb;
    parm.iv_avt_stop_real_play_cb = stop_cb;
    parm.iv_avt_start_recv_stream_cb = start_recv_cb;
    parm.iv_avt_stop_recv_stream_cb = stop_recv_cb;
    parm.iv_avt_recv_stream_cb = recv_cb;
    parm.iv_avt_notify_cb = notify_cb;
    parm.iv_avt_recv_command_cb = command_cb;
    return parm;
}

/* A UserSig of cam_front, made for this test: nothing here checks its signature. */
#include "test_ticket.h"

static int init_system(const char *product, const char *device, const char *server, const char *key)
{
    iv_sys_device_info info;
    iv_sys_init_parm_s system;
    memset(&info, 0, sizeof info);
    memset(&system, 0, sizeof system);
    info.product_id = product;
    info.device_name = device;
    info.region = server;
    info.device_key = key;
    system.device_info = &info;
    system.auto_connect_enable = 1;
    return iv_sys_init(&system);
}

static void system_module(void)
{
    const char *url = "ws://127.0.0.1:9/ws";
    uint64_t time = 0;
    iv_sys_init_parm_s empty;
    memset(&empty, 0, sizeof empty);
    IS(iv_sys_init(NULL), IV_ERR_SYS_INIT_PRM_NULL);
    IS(iv_sys_init(&empty), IV_ERR_SYS_INIT_PRM_NULL);
    names("device_info", __LINE__);
    IS(init_system(NULL, "front", url, TICKET), IV_ERR_SYS_INIT_PRM_NULL);
    names("product_id", __LINE__);
    IS(init_system("cam", "front", "http://x", TICKET), IV_ERR_SYS_INIT_PRM_RANGE);
    names("WebSocket address", __LINE__);
    IS(init_system("cam", "front door", url, TICKET), IV_ERR_SYS_INIT_PRM_RANGE);
    names("front door", __LINE__);
    IS(init_system("cam", "front", url, "nonsense"), IV_ERR_SYS_INIT_PRM_RANGE);
    names("ticket 1", __LINE__);
    IS(init_system("cam", "back", url, TICKET), IV_ERR_SYS_INIT_PRM_RANGE);
    names("cam_front", __LINE__);
    IS(iv_sys_exit(), IV_ERR_SYS_STATE_ERROR);
    IS(iv_sys_get_time(NULL), IV_ERR_SYS_INIT_PRM_NULL);
    IS(iv_sys_set_time(1000), IV_ERR_NONE);
    IS(iv_sys_get_time(&time), IV_ERR_NONE);
    IS(time >= 1000 && time < 60000, 1);
    IS(iv_sys_dyn_reg_device(NULL, NULL, 0), IV_ERR_SYS_NOT_SUPPORTED);
    IS(iv_sys_get_certificate_type(), IV_SYS_CERTIFICATE_TYPE_KEY);
    IS(iv_sys_customer_log_report(NULL), IV_ERR_SYS_INIT_PRM_NULL);
}

static void init_parameters(void)
{
    iv_avt_init_parm_s parm = good();
    IS(iv_avt_init(NULL), IV_ERR_AVT_INIT_PRM_NULL);
#define WITHOUT(callback) \
    parm = good(); \
    parm.callback = NULL; \
    IS(iv_avt_init(&parm), IV_ERR_AVT_INIT_CB_NULL); \
    names(#callback, __LINE__)
    WITHOUT(iv_avt_get_av_enc_info_cb);
    WITHOUT(iv_avt_start_real_play_cb);
    WITHOUT(iv_avt_stop_real_play_cb);
    WITHOUT(iv_avt_start_recv_stream_cb);
    WITHOUT(iv_avt_stop_recv_stream_cb);
    WITHOUT(iv_avt_recv_stream_cb);
    WITHOUT(iv_avt_notify_cb);
    WITHOUT(iv_avt_recv_command_cb);
#define RANGE(member, value) \
    parm = good(); \
    parm.member = value; \
    IS(iv_avt_init(&parm), IV_ERR_AVT_INIT_PRM_RANGE); \
    names(#member, __LINE__)
    RANGE(max_connect_num, 0);
    RANGE(max_connect_num, 33);
    RANGE(max_frame_size, 0);
    RANGE(p2p_init_params.mtu_size, 499);
    RANGE(p2p_init_params.mtu_size, 1461);
    RANGE(p2p_keep_alive.max_attempt_num, 11);
    parm = good();
    parm.congestion.enable = true;
    parm.congestion.low_mark = 5;
    parm.congestion.warn_mark = 4;
    IS(iv_avt_init(&parm), IV_ERR_AVT_INIT_PRM_RANGE);
    parm = good();
    IS(iv_avt_init(&parm), IV_ERR_AVT_STATE_ERROR);
    names("iv_sys_init comes first", __LINE__);
}

static void stream_calls(int is_up)
{
    uint8_t bytes[16] = {0};
    iv_cm_venc_pack_s pack, half;
    iv_cm_venc_stream_s video;
    iv_cm_aenc_stream_s audio;
    iv_p2p_send_stats_s stats;
    unsigned char reply[8];
    size_t length = sizeof reply;
    memset(&video, 0, sizeof video);
    memset(&audio, 0, sizeof audio);
    memset(&half, 0, sizeof half);
    half.pu8Addr = bytes;
    half.u32Len = 192 * 1024;
    pack.pu8Addr = bytes;
    pack.u32Len = sizeof bytes;
    pack.u64PTS = 0;
    pack.eFrameType = IV_CM_FRAME_TYPE_I;
    pack.u32Seq = 0;
    video.pstVencPack[0] = &pack;
    video.u32PackCount = 1;
    IS(iv_avt_send_stream(0, 0, IV_AVT_VIDEO_RES_HD, IV_AVT_STREAM_TYPE_VIDEO, &video), IV_ERR_AVT_STATE_ERROR);
    IS(iv_avt_send_stream(0, 5, IV_AVT_VIDEO_RES_HD, IV_AVT_STREAM_TYPE_VIDEO, &video), is_up ? IV_ERR_AVT_CHN_NOT_EXIT : IV_ERR_AVT_STATE_ERROR);
    IS(iv_avt_send_stream(0, 0, IV_AVT_VIDEO_RES_HD, IV_AVT_STREAM_TYPE_VIDEO, NULL), is_up ? IV_ERR_AVT_INPUT_PARAM_NULL : IV_ERR_AVT_STATE_ERROR);
    IS(iv_avt_send_stream(0, 0, IV_AVT_VIDEO_RES_HD, IV_AVT_STREAM_TYPE_BUTT, &video), is_up ? IV_ERR_AVT_INPUT_PARAM_INVAILD : IV_ERR_AVT_STATE_ERROR);
    IS(iv_avt_send_stream(0, 0, IV_AVT_VIDEO_RES_HD, IV_AVT_STREAM_TYPE_AUDIO, &audio), is_up ? IV_ERR_AVT_INPUT_PARAM_INVAILD : IV_ERR_AVT_STATE_ERROR);
    if (is_up) {
        video.u32PackCount = 9;
        IS(iv_avt_send_stream(0, 0, IV_AVT_VIDEO_RES_HD, IV_AVT_STREAM_TYPE_VIDEO, &video), IV_ERR_AVT_INPUT_PARAM_INVAILD);
        video.u32PackCount = 2;
        IS(iv_avt_send_stream(0, 0, IV_AVT_VIDEO_RES_HD, IV_AVT_STREAM_TYPE_VIDEO, &video), IV_ERR_AVT_INPUT_PARAM_NULL);
        video.u32PackCount = 1;
        pack.u32Len = 384 * 1024;
        IS(iv_avt_send_stream(0, 0, IV_AVT_VIDEO_RES_HD, IV_AVT_STREAM_TYPE_VIDEO, &video), IV_ERR_AVT_SEND_STREAM_TOO_BIG);
        /* All packs of a call count. */
        video.pstVencPack[0] = video.pstVencPack[1] = &half;
        video.u32PackCount = 2;
        IS(iv_avt_send_stream(0, 0, IV_AVT_VIDEO_RES_HD, IV_AVT_STREAM_TYPE_VIDEO, &video), IV_ERR_AVT_SEND_STREAM_TOO_BIG);
        video.pstVencPack[0] = &pack;
        video.u32PackCount = 1;
        pack.u32Len = 0;
        IS(iv_avt_send_stream(0, 0, IV_AVT_VIDEO_RES_HD, IV_AVT_STREAM_TYPE_VIDEO, &video), IV_ERR_AVT_INPUT_PARAM_INVAILD);
    }
    IS(iv_avt_get_send_stream_status(0, 0, IV_AVT_VIDEO_RES_HD, NULL), IV_ERR_AVT_INPUT_PARAM_NULL);
    memset(&stats, 0xff, sizeof stats);
    IS(iv_avt_get_send_stream_status(0, 0, IV_AVT_VIDEO_RES_HD, &stats), IV_ERR_AVT_STATE_ERROR);
    IS(stats.link_mode, 0);
    IS(iv_avt_get_send_stream_buf(0, 0, IV_AVT_VIDEO_RES_HD), 0);
    IS(iv_avt_send_finish_stream(0, 0, IV_AVT_VIDEO_RES_HD), IV_ERR_AVT_STATE_ERROR);
    IS(iv_avt_send_finish_stream_msg(0, 0, IV_AVT_VIDEO_RES_HD), IV_ERR_AVT_STATE_ERROR);
    IS(iv_avt_send_command(0, NULL, 1, reply, &length, 0), IV_ERR_AVT_INPUT_PARAM_NULL);
    IS(iv_avt_send_command(0, "x", 1, reply, NULL, 0), IV_ERR_AVT_INPUT_PARAM_NULL);
    IS(iv_avt_send_command(0, "x", 0, reply, &length, 0), IV_ERR_AVT_INPUT_PARAM_INVAILD);
    IS(iv_avt_send_command(0, "x", 16 * 1024 + 1, reply, &length, 0), IV_ERR_AVT_SEND_STREAM_TOO_BIG);
    IS(iv_avt_send_command(0, "x", 1, reply, &length, 0), IV_ERR_AVT_STATE_ERROR);
    IS(length, 0);
    IS(iv_avt_get_peerinfo() != NULL, 1);
}

static void *many_calls(void *argument)
{
    int round;
    for (round = 0; round < 200; round += 1) stream_calls(*(int *)argument);
    return NULL;
}

int main(void)
{
    iv_avt_init_parm_s parm = good();
    pthread_t threads[4];
    int at, is_up = 1;
    IOT_Log_Set_MessageHandler(log_line);
    system_module();
    init_parameters();
    stream_calls(0);
    IS(iv_avt_exit(), IV_ERR_AVT_STATE_ERROR);
    IS(init_system("cam", "front", "ws://127.0.0.1:9/ws", TICKET), IV_ERR_NONE);
    IS(init_system("cam", "front", "ws://127.0.0.1:9/ws", TICKET), IV_ERR_SYS_STATE_ERROR);
    parm.p2p_init_params.access_retry_times = 1;
    IS(iv_avt_init(&parm), IV_ERR_NONE);
    IS(iv_avt_init(&parm), IV_ERR_AVT_STATE_ERROR);
    IS(strstr(iv_avt_get_peerinfo(), "iv:cam_front") != NULL, 1);
    IS(iv_sys_exit(), IV_ERR_SYS_STATE_ERROR);
    stream_calls(1);
    /* The log line is shared by the threads, and of no use then. */
    for (at = 0; at < 4; at += 1) pthread_create(&threads[at], NULL, many_calls, &is_up);
    for (at = 0; at < 4; at += 1) pthread_join(threads[at], NULL);
    IS(wait_for_connect_failure(), 1);
    IS(iv_avt_exit(), IV_ERR_NONE);
    IS(iv_avt_exit(), IV_ERR_AVT_STATE_ERROR);
    stream_calls(0);
    IS(iv_sys_exit(), IV_ERR_NONE);
    return failures != 0;
}
