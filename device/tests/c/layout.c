/*
 * Compiled as C99 and as C++: checks names and numbers of the interface against the contract, and prints the layout of each
 * structure for the Rust test to compare with its own.
 */

#include "iv_av.h"
#include "iv_log.h"
#include "iv_sys.h"

#include <stdio.h>
#include <string.h>

static int wrong;

#define VALUE(name, expected) \
    do { \
        if ((long)(name) != (long)(expected)) { \
            fprintf(stderr, #name " is %ld, must be %ld\n", (long)(name), (long)(expected)); \
            wrong = 1; \
        } \
    } while (0)
#define SIZE(type) printf(#type " %zu\n", sizeof(type))
#define MEMBER(type, member) printf(#type "." #member " %zu\n", offsetof(type, member))

static void values(void)
{
    VALUE(IV_AVT_STREAM_TYPE_AUDIO, 0);
    VALUE(IV_AVT_STREAM_TYPE_VIDEO, 1);
    VALUE(IV_AVT_STREAM_TYPE_AV, 2);
    VALUE(IV_AVT_STREAM_TYPE_BUTT, 3);
    VALUE(IV_AVT_DEV_ACCEPT, 0);
    VALUE(IV_AVT_DEV_REFUSE, 1);
    VALUE(IV_AVT_DEV_STATUS_BUTT, 10);
    VALUE(IV_AVT_REQUEST_SEND_STREAM, 0);
    VALUE(IV_AVT_REQUEST_RECV_STREAM, 1);
    VALUE(IV_AVT_REQUEST_BUTT, 2);
    VALUE(IV_AVT_VIDEO_RES_FL, 0);
    VALUE(IV_AVT_VIDEO_RES_SD, 1);
    VALUE(IV_AVT_VIDEO_RES_HD, 2);
    VALUE(IV_AVT_VIDEO_RES_PB, 3);
    VALUE(IV_AVT_VIDEO_RES_BUTT, 4);
    VALUE(IV_AVT_DOWNLOAD_STATUS_START, 0);
    VALUE(IV_AVT_DOWNLOAD_STATUS_RUNNING, 1);
    VALUE(IV_AVT_DOWNLOAD_STATUS_STOP, 2);
    VALUE(IV_AVT_DOWNLOAD_STATUS_BUTT, 3);
    VALUE(IV_AVT_P2P_LOG_DISABLE, 0);
    VALUE(IV_AVT_P2P_LOG_ERROR, 1);
    VALUE(IV_AVT_P2P_LOG_WARN, 2);
    VALUE(IV_AVT_P2P_LOG_INFO, 3);
    VALUE(IV_AVT_P2P_LOG_DEBUG, 4);
    VALUE(IV_AVT_P2P_LOG_VERBOSE, 5);
    VALUE(IV_AVT_P2P_NIC_NORMAL, 0);
    VALUE(IV_AVT_P2P_NIC_NAT_EX, 1);
    VALUE(IV_AVT_P2P_UDP, 0);
    VALUE(IV_AVT_P2P_TCP, 1);
    VALUE(IV_AVT_EVENT_P2P_PEER_READY, 0);
    VALUE(IV_AVT_EVENT_P2P_PEER_CONNECT_FAIL, 1);
    VALUE(IV_AVT_EVENT_P2P_PEER_ERROR, 2);
    VALUE(IV_AVT_EVENT_P2P_PEER_ADDR_CHANGED, 3);
    VALUE(IV_AVT_EVENT_P2P_WATERMARK_LOW, 4);
    VALUE(IV_AVT_EVENT_P2P_WATERMARK_WARN, 5);
    VALUE(IV_AVT_EVENT_P2P_WATERMARK_HIGH, 6);
    VALUE(IV_AVT_EVENT_P2P_LOCAL_NET_READY, 7);
    VALUE(IV_AVT_EVENT_P2P_BUTT, 8);
    VALUE(IV_AVT_COMMAND_USR_DATA, 0);
    VALUE(IV_AVT_COMMAND_REQ_STREAM, 1);
    VALUE(IV_AVT_COMMAND_CHN_NAME, 2);
    VALUE(IV_AVT_COMMAND_REQ_IFRAME, 3);
    VALUE(IV_AVT_COMMAND_PLAYBACK_PAUSE, 4);
    VALUE(IV_AVT_COMMAND_PLAYBACK_RESUME, 5);
    VALUE(IV_AVT_COMMAND_PLAYBACK_QUERY_MONTH, 6);
    VALUE(IV_AVT_COMMAND_PLAYBACK_QUERY_DAY, 7);
    VALUE(IV_AVT_COMMAND_PLAYBACK_SEEK, 8);
    VALUE(IV_AVT_COMMAND_PLAYBACK_FF, 9);
    VALUE(IV_AVT_COMMAND_PLAYBACK_SPEED, 10);
    VALUE(IV_AVT_COMMAND_PLAYBACK_REWIND, 11);
    VALUE(IV_AVT_COMMAND_TYPE_BUTT, 12);
    VALUE(IV_CM_AENC_TYPE_PCM, 0);
    VALUE(IV_CM_AENC_TYPE_G711A, 1);
    VALUE(IV_CM_AENC_TYPE_G711U, 2);
    VALUE(IV_CM_AENC_TYPE_G726, 3);
    VALUE(IV_CM_AENC_TYPE_AAC, 4);
    VALUE(IV_CM_AENC_TYPE_AMR, 5);
    VALUE(IV_CM_AENC_TYPE_ADPCMA, 6);
    VALUE(IV_CM_AENC_TYPE_BUTT, 7);
    VALUE(IV_CM_AAC_TYPE_NONE, 0);
    VALUE(IV_CM_AAC_TYPE_MAIN, 1);
    VALUE(IV_CM_AAC_TYPE_LC, 2);
    VALUE(IV_CM_AAC_TYPE_SSR, 3);
    VALUE(IV_CM_AAC_TYPE_LTP, 4);
    VALUE(IV_CM_AAC_TYPE_SBR, 5);
    VALUE(IV_CM_AAC_TYPE_SCALCBLE, 6);
    VALUE(IV_CM_AAC_TYPE_TWINVQ, 7);
    VALUE(IV_CM_AAC_TYPE_CELP, 8);
    VALUE(IV_CM_AAC_TYPE_HVXC, 9);
    VALUE(IV_CM_AENC_SAMPLE_RATE_8000, 8000);
    VALUE(IV_CM_AENC_SAMPLE_RATE_11025, 11025);
    VALUE(IV_CM_AENC_SAMPLE_RATE_12000, 12000);
    VALUE(IV_CM_AENC_SAMPLE_RATE_16000, 16000);
    VALUE(IV_CM_AENC_SAMPLE_RATE_22050, 22050);
    VALUE(IV_CM_AENC_SAMPLE_RATE_24000, 24000);
    VALUE(IV_CM_AENC_SAMPLE_RATE_32000, 32000);
    VALUE(IV_CM_AENC_SAMPLE_RATE_44100, 44100);
    VALUE(IV_CM_AENC_SAMPLE_RATE_48000, 48000);
    VALUE(IV_CM_AENC_SAMPLE_RATE_64000, 64000);
    VALUE(IV_CM_AENC_SAMPLE_RATE_96000, 96000);
    VALUE(IV_CM_AENC_BIT_WIDTH_8, 0);
    VALUE(IV_CM_AENC_BIT_WIDTH_16, 1);
    VALUE(IV_CM_AENC_BIT_WIDTH_24, 2);
    VALUE(IV_CM_AENC_MODE_MONO, 0);
    VALUE(IV_CM_AENC_MODE_STEREO, 1);
    VALUE(IV_CM_STREAM_TYPE_AUDIO, 0);
    VALUE(IV_CM_STREAM_TYPE_VIDEO, 1);
    VALUE(IV_CM_VENC_TYPE_H264, 0);
    VALUE(IV_CM_VENC_TYPE_H265, 1);
    VALUE(IV_CM_VENC_TYPE_MJPG, 2);
    VALUE(IV_CM_FRAME_TYPE_I, 0);
    VALUE(IV_CM_FRAME_TYPE_P, 1);
    VALUE(IV_CM_FILE_TYPE_VIDEO, 0);
    VALUE(IV_CM_FILE_TYPE_PIC, 1);
    VALUE(IV_ERR_NONE, 0);
    VALUE(IV_ERR_AVT_INIT_PRM_NULL, -300);
    VALUE(IV_ERR_AVT_INIT_CB_NULL, -301);
    VALUE(IV_ERR_AVT_INIT_PRM_RANGE, -302);
    VALUE(IV_ERR_AVT_REQ_CHN_BUSY, -303);
    VALUE(IV_ERR_AVT_SEND_STREAM_TOO_BIG, -304);
    VALUE(IV_ERR_AVT_CHN_NOT_EXIT, -305);
    VALUE(IV_ERR_AVT_NEED_IDR_FRAME, -306);
    VALUE(IV_ERR_AVT_MALLOC_BUFFER_FAILED, -307);
    VALUE(IV_ERR_AVT_FAILED, -308);
    VALUE(IV_ERR_AVT_INPUT_PARAM_NULL, -309);
    VALUE(IV_ERR_AVT_INPUT_PARAM_INVAILD, -310);
    VALUE(IV_ERR_AVT_SEND_DATA_TIMEOUT, -311);
    VALUE(IV_ERR_AVT_STATE_ERROR, -312);
    VALUE(IV_ERR_AVT_VIDEO_DATA_ERROR, -313);
    VALUE(IV_eLOG_DISABLE, 0);
    VALUE(IV_eLOG_DEBUG, 4);
}

static void layout(void)
{
    SIZE(iv_cm_aenc_pack_s);
    MEMBER(iv_cm_aenc_pack_s, pu8Addr);
    MEMBER(iv_cm_aenc_pack_s, u32Len);
    MEMBER(iv_cm_aenc_pack_s, u64PTS);
    MEMBER(iv_cm_aenc_pack_s, u32Seq);
    SIZE(iv_cm_aenc_stream_s);
    MEMBER(iv_cm_aenc_stream_s, pstAencPack);
    MEMBER(iv_cm_aenc_stream_s, u32PackCount);
    SIZE(iv_cm_venc_pack_s);
    MEMBER(iv_cm_venc_pack_s, pu8Addr);
    MEMBER(iv_cm_venc_pack_s, u32Len);
    MEMBER(iv_cm_venc_pack_s, u64PTS);
    MEMBER(iv_cm_venc_pack_s, eFrameType);
    MEMBER(iv_cm_venc_pack_s, u32Seq);
    SIZE(iv_cm_venc_stream_s);
    MEMBER(iv_cm_venc_stream_s, u32PackCount);
    SIZE(iv_cm_avenc_stream_s);
    MEMBER(iv_cm_avenc_stream_s, stAencStream);
    MEMBER(iv_cm_avenc_stream_s, stVencStream);
    SIZE(iv_cm_av_data_info_s);
    MEMBER(iv_cm_av_data_info_s, eAudioType);
    MEMBER(iv_cm_av_data_info_s, u32AudioCodecOption);
    MEMBER(iv_cm_av_data_info_s, eAudioMode);
    MEMBER(iv_cm_av_data_info_s, eAudioBitWidth);
    MEMBER(iv_cm_av_data_info_s, eAudioSampleRate);
    MEMBER(iv_cm_av_data_info_s, u32SampleNumPerFrame);
    MEMBER(iv_cm_av_data_info_s, eVideoType);
    MEMBER(iv_cm_av_data_info_s, u32VideoWidth);
    MEMBER(iv_cm_av_data_info_s, u32VideoHeight);
    MEMBER(iv_cm_av_data_info_s, u32Framerate);
    MEMBER(iv_cm_av_data_info_s, u32Reserve);
    SIZE(iv_cm_memory_s);
    MEMBER(iv_cm_memory_s, buf);
    MEMBER(iv_cm_memory_s, size);
    MEMBER(iv_cm_memory_s, buf_free_fn);
    SIZE(iv_cm_time_fragment_s);
    MEMBER(iv_cm_time_fragment_s, type);
    MEMBER(iv_cm_time_fragment_s, begin_time_s);
    MEMBER(iv_cm_time_fragment_s, end_time_s);
    SIZE(iv_cm_pb_list_s);
    MEMBER(iv_cm_pb_list_s, count);
    MEMBER(iv_cm_pb_list_s, file_list);
    SIZE(iv_cm_query_rd_by_month_s);
    MEMBER(iv_cm_query_rd_by_month_s, year);
    MEMBER(iv_cm_query_rd_by_month_s, month);
    MEMBER(iv_cm_query_rd_by_month_s, type);
    MEMBER(iv_cm_query_rd_by_month_s, day);
    SIZE(iv_cm_query_rd_by_day_s);
    MEMBER(iv_cm_query_rd_by_day_s, time_fragment);
    MEMBER(iv_cm_query_rd_by_day_s, free_fn);
    MEMBER(iv_cm_query_rd_by_day_s, rd_array);
    SIZE(iv_cm_file_info_s);
    MEMBER(iv_cm_file_info_s, file_type);
    MEMBER(iv_cm_file_info_s, file_name);
    MEMBER(iv_cm_file_info_s, file_size);
    MEMBER(iv_cm_file_info_s, begin_time_s);
    MEMBER(iv_cm_file_info_s, end_time_s);
    MEMBER(iv_cm_file_info_s, extra_info);
    SIZE(iv_cm_file_list_s);
    MEMBER(iv_cm_file_list_s, file_list);
    SIZE(iv_cm_query_file_list_s);
    MEMBER(iv_cm_query_file_list_s, time_fragment);
    MEMBER(iv_cm_query_file_list_s, free_fn);
    MEMBER(iv_cm_query_file_list_s, file_array);
    SIZE(iv_cm_download_param_s);
    MEMBER(iv_cm_download_param_s, file_name);
    MEMBER(iv_cm_download_param_s, file_offset);
    SIZE(iv_cm_pb_seek_s);
    SIZE(iv_cm_pb_ff_s);
    SIZE(iv_cm_pb_speed_s);
    SIZE(iv_cm_pb_rewind_s);
    MEMBER(iv_cm_pb_rewind_s, end_time_s);
    SIZE(iv_avt_usr_data_parm_s);
    MEMBER(iv_avt_usr_data_parm_s, src);
    MEMBER(iv_avt_usr_data_parm_s, src_len);
    MEMBER(iv_avt_usr_data_parm_s, dst);
    SIZE(iv_avt_req_stream_param_s);
    MEMBER(iv_avt_req_stream_param_s, request_type);
    MEMBER(iv_avt_req_stream_param_s, request_result);
    SIZE(iv_avt_chn_name_param_s);
    MEMBER(iv_avt_chn_name_param_s, name);
    MEMBER(iv_avt_chn_name_param_s, is_online);
    SIZE(congestion_ctrl_s);
    MEMBER(congestion_ctrl_s, low_mark);
    MEMBER(congestion_ctrl_s, warn_mark);
    MEMBER(congestion_ctrl_s, high_mark);
    MEMBER(congestion_ctrl_s, enable);
    SIZE(p2p_keep_alive_s);
    MEMBER(p2p_keep_alive_s, time_inter_s);
    MEMBER(p2p_keep_alive_s, max_attempt_num);
    SIZE(iv_p2p_send_stats_s);
    MEMBER(iv_p2p_send_stats_s, inst_net_rate);
    MEMBER(iv_p2p_send_stats_s, ave_sent_rate);
    MEMBER(iv_p2p_send_stats_s, sum_sent_acked);
    MEMBER(iv_p2p_send_stats_s, link_mode);
    SIZE(p2p_init_params_s);
    MEMBER(p2p_init_params_s, log_level);
    MEMBER(p2p_init_params_s, log_file_path);
    MEMBER(p2p_init_params_s, log_file_size);
    MEMBER(p2p_init_params_s, mtu_size);
    MEMBER(p2p_init_params_s, nic_type);
    MEMBER(p2p_init_params_s, sender_interval_ms);
    MEMBER(p2p_init_params_s, keepalive_interval_s);
    MEMBER(p2p_init_params_s, access_retry_times);
    MEMBER(p2p_init_params_s, protocol);
    SIZE(local_net_info_s);
    MEMBER(local_net_info_s, probe_port);
    MEMBER(local_net_info_s, trans_port);
    MEMBER(local_net_info_s, local_addr);
    MEMBER(local_net_info_s, vendor_id);
    MEMBER(local_net_info_s, device_id);
    SIZE(iv_avt_init_parm_s);
    MEMBER(iv_avt_init_parm_s, max_frame_size);
    MEMBER(iv_avt_init_parm_s, max_connect_num);
    MEMBER(iv_avt_init_parm_s, iv_avt_get_av_enc_info_cb);
    MEMBER(iv_avt_init_parm_s, iv_avt_start_real_play_cb);
    MEMBER(iv_avt_init_parm_s, iv_avt_stop_real_play_cb);
    MEMBER(iv_avt_init_parm_s, iv_avt_start_recv_stream_cb);
    MEMBER(iv_avt_init_parm_s, iv_avt_stop_recv_stream_cb);
    MEMBER(iv_avt_init_parm_s, iv_avt_recv_stream_cb);
    MEMBER(iv_avt_init_parm_s, iv_avt_recv_user_data_cb);
    MEMBER(iv_avt_init_parm_s, iv_avt_notify_cb);
    MEMBER(iv_avt_init_parm_s, iv_avt_recv_command_cb);
    MEMBER(iv_avt_init_parm_s, iv_avt_download_file_cb);
    MEMBER(iv_avt_init_parm_s, congestion);
    MEMBER(iv_avt_init_parm_s, p2p_keep_alive);
    MEMBER(iv_avt_init_parm_s, p2p_init_params);
    MEMBER(iv_avt_init_parm_s, net_info);
    SIZE(iv_sys_device_info);
    MEMBER(iv_sys_device_info, product_id);
    MEMBER(iv_sys_device_info, device_name);
    MEMBER(iv_sys_device_info, region);
    MEMBER(iv_sys_device_info, product_secret);
    MEMBER(iv_sys_device_info, device_key);
    SIZE(iv_sys_init_parm_s);
    MEMBER(iv_sys_init_parm_s, device_info);
    MEMBER(iv_sys_init_parm_s, command_timeout);
    MEMBER(iv_sys_init_parm_s, auto_connect_enable);
    MEMBER(iv_sys_init_parm_s, max_channel_num);
    MEMBER(iv_sys_init_parm_s, iv_sys_online_cb);
    MEMBER(iv_sys_init_parm_s, iv_sys_offline_cb);
    MEMBER(iv_sys_init_parm_s, os_impl_cb);
}

int main(void)
{
    values();
    layout();
    return wrong;
}
