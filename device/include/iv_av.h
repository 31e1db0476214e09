/* The newer name of iv_avt.h. */
#ifndef IV_AV_H
#define IV_AV_H

#include "iv_avt.h"

#endif
