/* Init and exit, again and again, while nothing answers; from a callback, too. Valgrind watches. */

#define _POSIX_C_SOURCE 200809L

#include "iv_avt.h"
#include "iv_log.h"
#include "iv_sys.h"

#include <dirent.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "test_ticket.h"

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static int exits_in_callback, exited = -1;

static bool log_line(const char *line) { (void)line; return true; }
static void info_cb(uint32_t v, uint32_t c, iv_avt_video_res_type_e q, iv_cm_av_data_info_s *i) { (void)v; (void)c; (void)q; (void)i; }
static void start_cb(uint32_t v, uint32_t c, iv_avt_video_res_type_e q, void *a) { (void)v; (void)c; (void)q; (void)a; }
static void stop_cb(uint32_t v, uint32_t c, iv_avt_video_res_type_e q) { (void)v; (void)c; (void)q; }
static int start_recv_cb(uint32_t v, uint32_t c, iv_cm_av_data_info_s *i) { (void)v; (void)c; (void)i; return 0; }
static int stop_recv_cb(uint32_t v, uint32_t c, iv_avt_stream_type_e t) { (void)v; (void)c; (void)t; return 0; }
static int recv_cb(uint32_t v, uint32_t c, iv_avt_stream_type_e t, void *s) { (void)v; (void)c; (void)t; (void)s; return 0; }
static int command_cb(iv_avt_command_type_e k, uint32_t v, uint32_t c, iv_avt_video_res_type_e q, void *a) { (void)k; (void)v; (void)c; (void)q; (void)a; return 0; }

static void notify_cb(iv_avt_event_e event, uint32_t v, uint32_t c, iv_avt_video_res_type_e q)
{
    (void)v;
    (void)c;
    (void)q;
    if (event == IV_AVT_EVENT_P2P_LOCAL_NET_READY) {
        int code = exits_in_callback ? iv_avt_exit() : 1;
        pthread_mutex_lock(&lock);
        exited = code;
        pthread_cond_signal(&changed);
        pthread_mutex_unlock(&lock);
    }
}

static int count(const char *folder)
{
    DIR *directory = opendir(folder);
    int entries = 0;
    while (directory && readdir(directory)) entries += 1;
    if (directory) closedir(directory);
    return entries;
}

static int wait_for_event(void)
{
    int code;
    pthread_mutex_lock(&lock);
    while (exited == -1) pthread_cond_wait(&changed, &lock);
    code = exited;
    exited = -1;
    pthread_mutex_unlock(&lock);
    return code;
}

int main(void)
{
    int round, sockets = 0;
    iv_sys_device_info info;
    iv_sys_init_parm_s system;
    iv_avt_init_parm_s parm;
    memset(&info, 0, sizeof info);
    memset(&system, 0, sizeof system);
    memset(&parm, 0, sizeof parm);
    info.product_id = "cam";
    info.device_name = "front";
    info.region = "ws://127.0.0.1:9/ws";
    info.device_key = TICKET;
    system.device_info = &info;
    system.auto_connect_enable = 1;
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
    parm.net_info.probe_port = 3072;
    parm.net_info.trans_port = 3073;
    IOT_Log_Set_MessageHandler(log_line);
    for (round = 0; round < 6; round += 1) {
        exits_in_callback = round % 3 == 2;
        if (iv_sys_init(&system) != IV_ERR_NONE || iv_avt_init(&parm) != IV_ERR_NONE) return 1;
        /* At once, after the first event, in it. */
        if (round % 3 == 0) {
            if (iv_avt_exit() != IV_ERR_NONE) return 2;
            exited = -1;
        } else if (round % 3 == 1) {
            if (wait_for_event() != 1 || iv_avt_exit() != IV_ERR_NONE) return 3;
        } else if (wait_for_event() != IV_ERR_NONE) {
            return 4;
        }
        /* Before iv_avt_exit this would be refused. */
        if (iv_sys_exit() != IV_ERR_NONE) return 5;
        if (round == 0) sockets = count("/proc/self/fd");
        else if (count("/proc/self/fd") != sockets) return 6;
    }
    /* The callbacks' thread of an exit in a callback ends after it. */
    for (round = 0; count("/proc/self/task") != 3; round += 1) {
        if (round == 1000000) return 7;
    }
    return 0;
}
