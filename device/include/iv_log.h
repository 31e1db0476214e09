/* Where the library's log lines go. */
#ifndef IV_LOG_H
#define IV_LOG_H

#include <stdbool.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Gets each line, without its end; true: it is not to be written anywhere else. Called on any thread: it must not call back. */
typedef bool (*iv_log_message_handler)(const char *message);

/* NULL: lines go where they went before. */
void IOT_Log_Set_MessageHandler(iv_log_message_handler handler);

#ifdef __cplusplus
}
#endif

#endif
