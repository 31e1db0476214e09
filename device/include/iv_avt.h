/*
 * Audio and video module: live view, talk-back, commands, playback and download, for cameras.
 * How it works on this network: docs/device.md. All functions may be called from any thread, callbacks included.
 */
#ifndef IV_AVT_H
#define IV_AVT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "iv_cm.h"
#include "iv_err.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---- Enumerations ---- */

typedef enum {
    IV_AVT_STREAM_TYPE_AUDIO = 0,
    IV_AVT_STREAM_TYPE_VIDEO = 1,
    IV_AVT_STREAM_TYPE_AV = 2,
    IV_AVT_STREAM_TYPE_BUTT = 3
} iv_avt_stream_type_e;

/* Answer to a stream request. */
typedef enum {
    IV_AVT_DEV_ACCEPT = 0,
    IV_AVT_DEV_REFUSE = 1,
    IV_AVT_DEV_STATUS_BUTT = 10
} iv_avt_device_status_e;

typedef enum {
    IV_AVT_REQUEST_SEND_STREAM = 0, /* the viewer wants the device to send */
    IV_AVT_REQUEST_RECV_STREAM = 1, /* the viewer wants the device to receive: audio */
    IV_AVT_REQUEST_BUTT = 2
} iv_avt_request_type_e;

typedef enum {
    IV_AVT_VIDEO_RES_FL = 0, /* fluent */
    IV_AVT_VIDEO_RES_SD = 1, /* standard */
    IV_AVT_VIDEO_RES_HD = 2, /* high */
    IV_AVT_VIDEO_RES_PB = 3, /* playback of local recordings */
    IV_AVT_VIDEO_RES_BUTT = 4
} iv_avt_video_res_type_e;
typedef iv_avt_video_res_type_e iv_avt_video_res_e;

typedef enum {
    IV_AVT_DOWNLOAD_STATUS_START = 0,
    IV_AVT_DOWNLOAD_STATUS_RUNNING = 1,
    IV_AVT_DOWNLOAD_STATUS_STOP = 2,
    IV_AVT_DOWNLOAD_STATUS_BUTT = 3
} iv_avt_download_status_e;

/* Each level includes the lower ones. */
typedef enum {
    IV_AVT_P2P_LOG_DISABLE = 0,
    IV_AVT_P2P_LOG_ERROR = 1,
    IV_AVT_P2P_LOG_WARN = 2,
    IV_AVT_P2P_LOG_INFO = 3,
    IV_AVT_P2P_LOG_DEBUG = 4,
    IV_AVT_P2P_LOG_VERBOSE = 5
} iv_avt_p2p_log_level_e;

typedef enum {
    IV_AVT_P2P_NIC_NORMAL = 0,
    IV_AVT_P2P_NIC_NAT_EX = 1 /* accepted; ICE finds the addresses by itself */
} iv_avt_p2p_nic_type_e;

typedef enum {
    IV_AVT_P2P_UDP = 0,
    IV_AVT_P2P_TCP = 1
} iv_avt_p2p_tp_type_e;

typedef enum {
    IV_AVT_EVENT_P2P_PEER_READY = 0,        /* the device is in its room: iv_avt_get_peerinfo is accurate */
    IV_AVT_EVENT_P2P_PEER_CONNECT_FAIL = 1, /* the server cannot be reached */
    IV_AVT_EVENT_P2P_PEER_ERROR = 2,        /* the connection to the server is lost */
    IV_AVT_EVENT_P2P_PEER_ADDR_CHANGED = 3, /* the path of a stream has changed: it goes on with a key frame, see link_mode */
    IV_AVT_EVENT_P2P_WATERMARK_LOW = 4,     /* the buffer fell back to low_mark: go on normally */
    IV_AVT_EVENT_P2P_WATERMARK_WARN = 5,    /* it passed warn_mark: lower the rate */
    IV_AVT_EVENT_P2P_WATERMARK_HIGH = 6,    /* it passed high_mark: lower or stop */
    IV_AVT_EVENT_P2P_LOCAL_NET_READY = 7,   /* local-network mode: direct connections can come */
    IV_AVT_EVENT_P2P_BUTT = 8
} iv_avt_event_e;

typedef enum {
    IV_AVT_COMMAND_USR_DATA = 0,             /* iv_avt_usr_data_parm_s * */
    IV_AVT_COMMAND_REQ_STREAM = 1,           /* iv_avt_req_stream_param_s * */
    IV_AVT_COMMAND_CHN_NAME = 2,             /* iv_avt_chn_name_param_s * */
    IV_AVT_COMMAND_REQ_IFRAME = 3,           /* NULL */
    IV_AVT_COMMAND_PLAYBACK_PAUSE = 4,       /* NULL */
    IV_AVT_COMMAND_PLAYBACK_RESUME = 5,      /* NULL */
    IV_AVT_COMMAND_PLAYBACK_QUERY_MONTH = 6, /* iv_cm_query_rd_by_month_s * */
    IV_AVT_COMMAND_PLAYBACK_QUERY_DAY = 7,   /* iv_cm_query_rd_by_day_s * */
    IV_AVT_COMMAND_PLAYBACK_SEEK = 8,        /* iv_cm_pb_seek_s * */
    IV_AVT_COMMAND_PLAYBACK_FF = 9,          /* iv_cm_pb_ff_s * */
    IV_AVT_COMMAND_PLAYBACK_SPEED = 10,      /* iv_cm_pb_speed_s * */
    IV_AVT_COMMAND_PLAYBACK_REWIND = 11,     /* iv_cm_pb_rewind_s * */
    IV_AVT_COMMAND_TYPE_BUTT = 12
} iv_avt_command_type_e;

/* ---- Values of the newer interface, for programs that know them ---- */

/* Raised: iv_cm_query_file_list_s *, the files that can be downloaded. */
#define IV_AVT_COMMAND_QUERY_FILE_LIST ((iv_avt_command_type_e)13)

/* Never raised: there are no calls here, and no progress of a playback is asked for. */
#define IV_AVT_COMMAND_PLAYBACK_PROGRESS ((iv_avt_command_type_e)12)
#define IV_AVT_COMMAND_CALL_ANSWER ((iv_avt_command_type_e)14)
#define IV_AVT_COMMAND_CALL_HANG_UP ((iv_avt_command_type_e)15)
#define IV_AVT_COMMAND_CALL_REJECT ((iv_avt_command_type_e)16)
#define IV_AVT_COMMAND_CALL_CANCEL ((iv_avt_command_type_e)17)
#define IV_AVT_COMMAND_CALL_BUSY ((iv_avt_command_type_e)18)
#define IV_AVT_COMMAND_CALL_TIMEOUT ((iv_avt_command_type_e)19)
#define IV_AVT_COMMAND_CALL_AV_CLOSE ((iv_avt_command_type_e)20)
#define IV_AVT_COMMAND_CALL_AV_AUDIO_ONLY ((iv_avt_command_type_e)21)
#define IV_AVT_COMMAND_CALL_AV_VIDEO_ONLY ((iv_avt_command_type_e)22)
#define IV_AVT_COMMAND_CALL_AV_AUDIO_VIDEO ((iv_avt_command_type_e)23)
/* Never raised: iv_avt_stop_real_play_cb tells it. */
#define IV_AVT_EVENT_P2P_LINK_DISCONNECT ((iv_avt_event_e)8)
#define IV_AVT_EVENT_P2P_CLI_SEND_CLOSE ((iv_avt_event_e)9)
/* Refused by iv_avt_send_stream: IV_ERR_AVT_INPUT_PARAM_INVAILD. */
#define IV_AVT_STREAM_TYPE_MJPG ((iv_avt_stream_type_e)3)
/* Never asked for by a viewer. */
#define IV_AVT_VIDEO_AUDIO ((iv_avt_video_res_type_e)4)
/* As IV_AVT_P2P_UDP, which goes on by TCP where UDP does not get through. */
#define IV_AVT_P2P_AUTO ((iv_avt_p2p_tp_type_e)2)

/* ---- Structures ---- */

typedef struct {
    char *src; /* in */
    uint32_t src_len;
    iv_cm_memory_s dst; /* out; NULL or size 0: the viewer is told that the channel is disconnected */
} iv_avt_usr_data_parm_s;

typedef struct {
    iv_avt_request_type_e request_type;    /* in */
    iv_avt_device_status_e request_result; /* out */
} iv_avt_req_stream_param_s;

typedef struct {
    iv_cm_memory_s name; /* out */
    uint8_t is_online;   /* out: 0 offline, 1 online */
} iv_avt_chn_name_param_s;

/* Bytes; enable false: no watermark events. */
typedef struct {
    size_t low_mark;
    size_t warn_mark;
    size_t high_mark;
    bool enable;
} congestion_ctrl_s;

/* A viewer that is silent for time_inter_s and does not answer max_attempt_num probes has left. Either 0 disables it. */
typedef struct p2p_keep_alive_s {
    uint8_t time_inter_s;
    uint8_t max_attempt_num;
} p2p_keep_alive_s;

typedef struct {
    uint32_t inst_net_rate;  /* byte/s, now */
    uint32_t ave_sent_rate;  /* byte/s, sent and acknowledged in the last second */
    uint64_t sum_sent_acked; /* bytes acknowledged */
    uint32_t link_mode;      /* 0 invalid, 1 direct, 2 relayed */
} iv_p2p_send_stats_s;

typedef struct {
    iv_avt_p2p_log_level_e log_level;
    const char *log_file_path; /* a folder; NULL: stderr */
    uint32_t log_file_size;    /* bytes; up to twice this is used */
    uint32_t mtu_size;         /* 500 to 1460; 0: 1460. Packets are never larger than 1200 */
    iv_avt_p2p_nic_type_e nic_type;
    uint32_t sender_interval_ms;   /* 0: 10; accepted: packets are paced by the rate of the link */
    uint32_t keepalive_interval_s; /* 0: 10; accepted: ICE keeps its own time */
    uint32_t access_retry_times;   /* 0: 10; attempts, three times as many, until CONNECT_FAIL is told */
    iv_avt_p2p_tp_type_e protocol; /* TCP: media through the server over TCP alone */
} p2p_init_params_s;

/* Local-network mode; either port 0 turns it off. Direct connections are made in any case, local addresses first. */
typedef struct {
    int probe_port;      /* accepted: nothing listens there, viewers find the device by its room */
    int trans_port;      /* UDP port of direct connections; when it is taken, and for further viewers, any */
    char local_addr[64]; /* address for direct connections; empty: all of the device */
    char *vendor_id;     /* NULL: product_id; letters, digits, `_`; part of iv_avt_get_peerinfo */
    char *device_id;     /* NULL: device_name; the same */
} local_net_info_s;

typedef struct iv_avt_init_parm_s {
    uint32_t max_frame_size;  /* KB; every send must be smaller */
    uint32_t max_connect_num; /* viewers at once, 1 to 32 */

    void (*iv_avt_get_av_enc_info_cb)(uint32_t visitor, uint32_t channel, iv_avt_video_res_type_e video_res_type,
                                      iv_cm_av_data_info_s *av_data_info);
    /* args: iv_cm_time_fragment_s * for IV_AVT_VIDEO_RES_PB, valid during the call; NULL otherwise. */
    void (*iv_avt_start_real_play_cb)(uint32_t visitor, uint32_t channel, iv_avt_video_res_type_e video_res_type,
                                      void *args);
    void (*iv_avt_stop_real_play_cb)(uint32_t visitor, uint32_t channel, iv_avt_video_res_type_e video_res_type);
    int (*iv_avt_start_recv_stream_cb)(uint32_t visitor, uint32_t channel, iv_cm_av_data_info_s *p_av_data_info);
    int (*iv_avt_stop_recv_stream_cb)(uint32_t visitor, uint32_t channel, iv_avt_stream_type_e stream_type);
    int (*iv_avt_recv_stream_cb)(uint32_t visitor, uint32_t channel, iv_avt_stream_type_e stream_type, void *p_stream);
    /* Deprecated and never called: IV_AVT_COMMAND_USR_DATA has replaced it. */
    void (*iv_avt_recv_user_data_cb)(uint32_t visitor, uint32_t channel, const char *src, uint32_t src_len,
                                     iv_cm_memory_s *dst);
    void (*iv_avt_notify_cb)(iv_avt_event_e event, uint32_t visitor, uint32_t channel,
                             iv_avt_video_res_type_e video_res_type);
    int (*iv_avt_recv_command_cb)(iv_avt_command_type_e command, uint32_t visitor, uint32_t channel,
                                  iv_avt_video_res_type_e video_res_type, void *args);
    /* START: iv_cm_download_param_s *. RUNNING: iv_cm_memory_s * to fill with the next piece; size 0 ends the file. STOP: NULL. */
    int (*iv_avt_download_file_cb)(iv_avt_download_status_e status, uint32_t visitor, uint32_t channel, void *args);

    congestion_ctrl_s congestion;
    p2p_keep_alive_s p2p_keep_alive;
    p2p_init_params_s p2p_init_params;
    local_net_info_s net_info;
} iv_avt_init_parm_s;

/* ---- Functions ---- */

/* After iv_sys_init. Returns at once; IV_AVT_EVENT_P2P_PEER_READY tells that viewers can come. */
int iv_avt_init(const iv_avt_init_parm_s *pstInitParm);
/* Ends every stream (with its stop callback), and returns when no thread or socket is left. */
int iv_avt_exit(void);
int iv_avt_send_stream(uint32_t visitor, uint32_t channel, iv_avt_video_res_type_e video_res_type,
                       iv_avt_stream_type_e stream_type, void *p_stream);
int iv_avt_get_send_stream_status(uint32_t visitor, uint32_t channel, iv_avt_video_res_type_e video_res_type,
                                  iv_p2p_send_stats_s *stream_send_status);
size_t iv_avt_get_send_stream_buf(uint32_t visitor, uint32_t channel, iv_avt_video_res_type_e video_res_type);
int iv_avt_send_finish_stream(uint32_t visitor, uint32_t channel, iv_avt_video_res_type_e video_res_type);
/* timeout_ms 0: 7500. The reply is cut to *recv_len bytes. */
int iv_avt_send_command(uint32_t visitor, const char *msg, size_t msg_len, unsigned char *recv_buf, size_t *recv_len,
                        uint32_t timeout_ms);
/* The device's room; valid until iv_avt_exit. Never NULL. */
const char *iv_avt_get_peerinfo(void);

/* Of the newer interface. */

/* The device hears this viewer no more. */
int iv_avt_recv_finish_stream(uint32_t visitor, uint32_t channel);
/* Tells the viewer that the stream is about to end; iv_avt_send_finish_stream ends it. */
int iv_avt_send_finish_stream_msg(uint32_t visitor, uint32_t channel, iv_avt_video_res_type_e video_res_type);

#ifdef __cplusplus
}
#endif

#endif
