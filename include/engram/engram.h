/** engram/engram.h: the whole API. */
#ifndef ENGRAM_ENGRAM_H
#define ENGRAM_ENGRAM_H

#include "engram/config.h"
#include "engram/context.h"
#include "engram/dataset.h"
#include "engram/finetune.h"
#include "engram/model.h"
#include "engram/profile.h"
#include "engram/status.h"

#endif
