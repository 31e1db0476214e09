/* Error codes of the device library. Callers test for `!= IV_ERR_NONE` or `< 0`; the numbers tell what to look for. */
#ifndef IV_ERR_H
#define IV_ERR_H

#ifdef __cplusplus
extern "C" {
#endif

typedef enum {
    IV_ERR_NONE = 0,

    /* System module (iv_sys.h). */
    IV_ERR_SYS_INIT_PRM_NULL = -100,   /* a parameter is NULL or empty */
    IV_ERR_SYS_INIT_PRM_RANGE = -101,  /* a parameter is out of range or malformed; the log names it */
    IV_ERR_SYS_STATE_ERROR = -102,     /* initialised twice, or not at all, or still in use by iv_avt */
    IV_ERR_SYS_NOT_SUPPORTED = -103,   /* this network has no such thing */
    IV_ERR_SYS_FAILED = -104,          /* anything else; the log says what */

    /* Audio and video module (iv_avt.h). */
    IV_ERR_AVT_INIT_PRM_NULL = -300,
    IV_ERR_AVT_INIT_CB_NULL = -301,
    IV_ERR_AVT_INIT_PRM_RANGE = -302,
    IV_ERR_AVT_REQ_CHN_BUSY = -303,
    IV_ERR_AVT_SEND_STREAM_TOO_BIG = -304,
    IV_ERR_AVT_CHN_NOT_EXIT = -305,
    IV_ERR_AVT_NEED_IDR_FRAME = -306,
    IV_ERR_AVT_MALLOC_BUFFER_FAILED = -307,
    IV_ERR_AVT_FAILED = -308,
    IV_ERR_AVT_INPUT_PARAM_NULL = -309,
    IV_ERR_AVT_INPUT_PARAM_INVAILD = -310,
    IV_ERR_AVT_SEND_DATA_TIMEOUT = -311,
    IV_ERR_AVT_STATE_ERROR = -312,
    IV_ERR_AVT_VIDEO_DATA_ERROR = -313,

    /* The device has no connection to the server now. */
    IV_ERR_DEVICE_OFFLINE = -1001
} iv_err_code_e;

#ifdef __cplusplus
}
#endif

#endif
