/* Types that several modules share: media, memory, playback and files. */
#ifndef IV_CM_H
#define IV_CM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ---- Media: enumerations ---- */

typedef enum {
    IV_CM_AENC_TYPE_PCM = 0,    /* 16 bit, little endian, interleaved */
    IV_CM_AENC_TYPE_G711A = 1,
    IV_CM_AENC_TYPE_G711U = 2,
    IV_CM_AENC_TYPE_G726 = 3,   /* refused by name */
    IV_CM_AENC_TYPE_AAC = 4,    /* LC; raw frames or ADTS */
    IV_CM_AENC_TYPE_AMR = 5,    /* refused by name */
    IV_CM_AENC_TYPE_ADPCMA = 6, /* refused by name */
    IV_CM_AENC_TYPE_BUTT = 7
} iv_cm_aenc_type_e;

/* Beside the values of the interface: Opus (RFC 6716), which is sent on as it is. */
#define IV_CM_AENC_TYPE_OPUS ((iv_cm_aenc_type_e)100)

typedef enum {
    IV_CM_AAC_TYPE_NONE = 0,
    IV_CM_AAC_TYPE_MAIN = 1,
    IV_CM_AAC_TYPE_LC = 2,
    IV_CM_AAC_TYPE_SSR = 3,
    IV_CM_AAC_TYPE_LTP = 4,
    IV_CM_AAC_TYPE_SBR = 5,
    IV_CM_AAC_TYPE_SCALCBLE = 6,
    IV_CM_AAC_TYPE_TWINVQ = 7,
    IV_CM_AAC_TYPE_CELP = 8,
    IV_CM_AAC_TYPE_HVXC = 9
} iv_cm_aac_type_e;

typedef enum {
    IV_CM_AENC_SAMPLE_RATE_8000 = 8000,
    IV_CM_AENC_SAMPLE_RATE_11025 = 11025,
    IV_CM_AENC_SAMPLE_RATE_12000 = 12000,
    IV_CM_AENC_SAMPLE_RATE_16000 = 16000,
    IV_CM_AENC_SAMPLE_RATE_22050 = 22050,
    IV_CM_AENC_SAMPLE_RATE_24000 = 24000,
    IV_CM_AENC_SAMPLE_RATE_32000 = 32000,
    IV_CM_AENC_SAMPLE_RATE_44100 = 44100,
    IV_CM_AENC_SAMPLE_RATE_48000 = 48000,
    IV_CM_AENC_SAMPLE_RATE_64000 = 64000,
    IV_CM_AENC_SAMPLE_RATE_96000 = 96000
} iv_cm_aenc_sample_rate_e;

typedef enum {
    IV_CM_AENC_BIT_WIDTH_8 = 0,
    IV_CM_AENC_BIT_WIDTH_16 = 1, /* the only one for PCM */
    IV_CM_AENC_BIT_WIDTH_24 = 2
} iv_cm_aenc_bit_width_e;

typedef enum {
    IV_CM_AENC_MODE_MONO = 0,
    IV_CM_AENC_MODE_STEREO = 1
} iv_cm_aenc_mode_e;

typedef enum {
    IV_CM_STREAM_TYPE_AUDIO = 0,
    IV_CM_STREAM_TYPE_VIDEO = 1
} iv_cm_stream_type_e;

typedef enum {
    IV_CM_VENC_TYPE_H264 = 0,
    IV_CM_VENC_TYPE_H265 = 1,
    IV_CM_VENC_TYPE_MJPG = 2     /* refused by name */
} iv_cm_venc_type_e;

typedef enum {
    IV_CM_FRAME_TYPE_I = 0,
    IV_CM_FRAME_TYPE_P = 1
} iv_cm_frame_type_e;

typedef enum {
    IV_CM_FILE_TYPE_VIDEO = 0,
    IV_CM_FILE_TYPE_PIC = 1
} iv_cm_file_type_e;

/* ---- Media: structures ---- */

#define IV_CM_MAX_PACK_NUM 8

/* u64PTS is in milliseconds, on one clock for audio and video. */
typedef struct {
    uint8_t *pu8Addr;
    uint32_t u32Len;
    uint64_t u64PTS;
    uint32_t u32Seq;
} iv_cm_aenc_pack_s;

typedef struct {
    iv_cm_aenc_pack_s *pstAencPack[IV_CM_MAX_PACK_NUM];
    uint32_t u32PackCount;
} iv_cm_aenc_stream_s;

/* One access unit in Annex B. Packs of one call with the same u64PTS are parts of one access unit. */
typedef struct {
    uint8_t *pu8Addr;
    uint32_t u32Len;
    uint64_t u64PTS;
    iv_cm_frame_type_e eFrameType;
    uint32_t u32Seq;
} iv_cm_venc_pack_s;

typedef struct {
    iv_cm_venc_pack_s *pstVencPack[IV_CM_MAX_PACK_NUM];
    uint32_t u32PackCount;
} iv_cm_venc_stream_s;

typedef struct {
    iv_cm_aenc_stream_s stAencStream;
    iv_cm_venc_stream_s stVencStream;
} iv_cm_avenc_stream_s;

typedef struct {
    iv_cm_aenc_type_e eAudioType;
    iv_cm_aac_type_e u32AudioCodecOption;
    iv_cm_aenc_mode_e eAudioMode;
    iv_cm_aenc_bit_width_e eAudioBitWidth;
    iv_cm_aenc_sample_rate_e eAudioSampleRate;
    uint32_t u32SampleNumPerFrame;
    iv_cm_venc_type_e eVideoType;
    uint32_t u32VideoWidth;
    uint32_t u32VideoHeight;
    uint32_t u32Framerate;
    uint32_t u32Reserve[4];
} iv_cm_av_data_info_s;

/* ---- Memory ---- */

/* `buf_free_fn`: called once when the library needs the memory no more; NULL for memory that must not be freed. */
typedef struct {
    uint8_t *buf;
    size_t size;
    void (*buf_free_fn)(uint8_t *, size_t);
} iv_cm_memory_s;

/* ---- Playback and files ---- */

#define IV_CM_MAX_FILE_NAME_LENGTH 128

/* A last member of any length. */
#if defined(__GNUC__)
#define IV_CM_ANY_LENGTH 0
#define IV_CM_EXTENSION __extension__
#else
#define IV_CM_ANY_LENGTH
#define IV_CM_EXTENSION
#endif

/* `type`: the application's own classes of recordings; 0 for all. Unix seconds. */
typedef struct {
    uint32_t type;
    uint64_t begin_time_s;
    uint64_t end_time_s;
} iv_cm_time_fragment_s;

IV_CM_EXTENSION typedef struct {
    uint32_t count;
    iv_cm_time_fragment_s file_list[IV_CM_ANY_LENGTH];
} iv_cm_pb_list_s;

/* `day` (out): bit d-1 for each day d that has recordings. */
typedef struct {
    uint32_t year;
    uint32_t month;
    uint32_t type;
    uint32_t day;
} iv_cm_query_rd_by_month_s;

/* `rd_array` (out): released by `free_fn`, once, unless that is NULL. */
typedef struct {
    iv_cm_time_fragment_s time_fragment;
    void (*free_fn)(void *ptr);
    iv_cm_pb_list_s *rd_array;
} iv_cm_query_rd_by_day_s;

typedef struct {
    iv_cm_file_type_e file_type;
    char file_name[IV_CM_MAX_FILE_NAME_LENGTH];
    uint32_t file_size;
    uint32_t begin_time_s;
    uint32_t end_time_s;
    iv_cm_memory_s extra_info;
} iv_cm_file_info_s;

IV_CM_EXTENSION typedef struct {
    uint32_t count;
    iv_cm_file_info_s file_list[IV_CM_ANY_LENGTH];
} iv_cm_file_list_s;

/* `file_array` (out): released by `free_fn`, once, unless that is NULL; `extra_info` of each file by its own function. */
typedef struct {
    iv_cm_time_fragment_s time_fragment;
    void (*free_fn)(void *ptr);
    iv_cm_file_list_s *file_array;
} iv_cm_query_file_list_s;

typedef struct {
    char file_name[IV_CM_MAX_FILE_NAME_LENGTH];
    int file_offset;
} iv_cm_download_param_s;

typedef struct {
    uint64_t seek_time_ms;
} iv_cm_pb_seek_s;

/* 0 normal, 1 key frames only, 2 every second key frame, 3 every third. */
typedef struct {
    uint32_t speed;
} iv_cm_pb_ff_s;

/* Milliseconds between the time stamps of two frames. */
typedef struct {
    uint32_t time_ms;
} iv_cm_pb_speed_s;

typedef struct {
    uint64_t begin_time_s;
    uint64_t end_time_s;
} iv_cm_pb_rewind_s;

#ifdef __cplusplus
}
#endif

#endif
