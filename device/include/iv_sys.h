/* System module: who the device is, which server it belongs to, and logging. Initialise it first, exit it last. */
#ifndef IV_SYS_H
#define IV_SYS_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "iv_err.h"

#ifdef __cplusplus
extern "C" {
#endif

#define IV_SYS_FILE_PATH_MAX_LEN 128

/* C99 has no unnamed unions; every compiler has. */
#if defined(__GNUC__)
#define IV_SYS_EXTENSION __extension__
#else
#define IV_SYS_EXTENSION
#endif

typedef enum {
    IV_SYS_CERTIFICATE_TYPE_CERT = 0,
    IV_SYS_CERTIFICATE_TYPE_KEY = 1,
    IV_SYS_CERTIFICATE_TYPE_BUTT
} iv_sys_certificate_type_e;

typedef enum {
    IV_SYS_RECONNECT_STATUS = 0,  /* the connection is lost; the library tries to get it back */
    IV_SYS_DISCONNECT_STATUS = 1, /* it will not come back by itself: another login took over, or the server refused */
    IV_SYS_INVALID_STATUS
} iv_sys_offline_status_type_e;

typedef enum {
    IV_eLOG_DISABLE = 0,
    IV_eLOG_ERROR = 1,
    IV_eLOG_WARN = 2,
    IV_eLOG_INFO = 3,
    IV_eLOG_DEBUG = 4
} iv_sys_log_level_type_e;

typedef struct {
    char dev_cert_file[IV_SYS_FILE_PATH_MAX_LEN];
    char dev_pkey_file[IV_SYS_FILE_PATH_MAX_LEN];
} iv_sys_cert_info;

typedef struct {
    /* Letters, digits, `_` and `-`; product and name together at most 30 bytes. */
    const char *product_id;
    const char *device_name;
    /* The server: as in "wss://rotunda.example.com/ws". */
    const char *region;
    /* Accepted, not used: there is no dynamic registration. */
    const char *product_secret;
    IV_SYS_EXTENSION union {
        iv_sys_cert_info *device_cert; /* not used */
        /* The device's tickets, separated by spaces; see docs/device.md. */
        const char *device_key;
    };
} iv_sys_device_info;

/* Accepted, not used: the library has its own of all of these. */
typedef struct iv_sys_os_impl {
    void *(*hal_os_malloc)(size_t size);
    void (*hal_os_free)(void *ptr);
    void (*hal_os_printf)(const char *format, va_list ap);
    uint64_t (*hal_os_gettime_ms)(void);
    uint32_t (*hal_os_gettime_second)(void);
    void (*hal_os_sleepms)(uint32_t ms);
    void (*hal_os_getmac)(uint8_t *mac, size_t mac_len);
    size_t (*hal_os_get_disksize)(void);
    size_t (*hal_os_get_memsize)(void);
    const char *(*hal_os_get_platform)(void);
    int (*hal_os_create_file)(const char *pathname);
    size_t (*hal_os_read_file)(int fd, void *buf, size_t count);
    size_t (*hal_os_write_file)(int fd, const void *buf, size_t count);
    int (*hal_os_close_file)(int fd);
    void *(*hal_os_fopen)(const char *filename, const char *mode);
    size_t (*hal_os_fread)(void *ptr, size_t size, size_t nmemb, void *fp);
    size_t (*hal_os_fwrite)(const void *ptr, size_t size, size_t nmemb, void *fp);
    size_t (*hal_os_filesize)(void *fp);
    int (*hal_os_fclose)(void *fp);
    long int (*hal_os_random)(void);
} iv_sys_os_impl_t;

typedef struct iv_sys_init_parm_s {
    char sys_cache_path[IV_SYS_FILE_PATH_MAX_LEN]; /* accepted, not used */
    char sys_store_path[IV_SYS_FILE_PATH_MAX_LEN]; /* accepted, not used */
    const char *dev_info_path;                     /* accepted, not used */
    iv_sys_device_info *device_info;
    uint32_t command_timeout;         /* milliseconds that the server may take to answer; 0: 5000 */
    uint32_t keep_alive_ms;           /* accepted, not used: the server's pings detect a dead connection */
    uint32_t mqtt_ping_interval_ms;   /* accepted, not used */
    uint8_t auto_connect_enable;      /* 1: reconnect with growing pauses; 0: offline once is offline */
    uint32_t mqtt_recv_buf_max_size;  /* accepted, not used */
    uint32_t mqtt_write_buf_max_size; /* accepted, not used */
    uint32_t max_channel_num;         /* 0: one camera; else so many channels, each asked for its name */
    uint32_t comm_use_http;           /* accepted, not used */
    uint32_t p2p_use_proxy;           /* accepted, not used */
    void (*iv_sys_online_cb)(uint64_t u64NetDateTime); /* milliseconds since 1970 */
    void (*iv_sys_offline_cb)(iv_sys_offline_status_type_e status);
    void (*iv_func_module_status_cb)(uint32_t module_status); /* accepted, never called */
    int (*iv_sys_slave_read_cb)(uint8_t *data, uint32_t len);  /* accepted, never called */
    int (*iv_sys_slave_write_cb)(uint8_t *data, uint32_t len); /* accepted, never called */
    iv_sys_os_impl_t os_impl_cb;
} iv_sys_init_parm_s;

/* Checks and keeps what it is given; connects when iv_avt_init is called. */
int iv_sys_init(const iv_sys_init_parm_s *pstInitParm);
/* IV_ERR_SYS_STATE_ERROR before iv_avt_exit. */
int iv_sys_exit(void);

/* Always IV_SYS_CERTIFICATE_TYPE_KEY. */
iv_sys_certificate_type_e iv_sys_get_certificate_type(void);
/* Milliseconds since 1970, as the device's clock and iv_sys_set_time have it. */
int iv_sys_get_time(uint64_t *milliseconds);
/* Sets what iv_sys_get_time answers from now on; the device's clock stays. */
int iv_sys_set_time(uint64_t milliseconds);
/* The default is IV_eLOG_WARN. Lines go to stderr, or to iv_avt's log file. */
void iv_sys_set_log_level(iv_sys_log_level_type_e level);
/* Accepted without effect: nothing is uploaded. */
int iv_sys_set_upload_level(iv_sys_log_level_type_e level);
/* IV_ERR_SYS_NOT_SUPPORTED: tickets come from the application's backend. */
int iv_sys_dyn_reg_device(iv_sys_device_info *psys_devInfo, char *dev_psk, int dev_psk_len);
/* IV_ERR_SYS_NOT_SUPPORTED: iv_avt_exit tells the server by itself. */
int iv_sys_active_offline(void);
/* Writes a line of the application into the log. */
int iv_sys_customer_log_report(char *msg);

#ifdef __cplusplus
}
#endif

#endif
