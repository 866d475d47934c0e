/* A run as a picture: throughput, and below it latency, over time. SVG 1.1, without scripts, fonts
 * or anything else from outside. */
#ifndef PICTURE_H
#define PICTURE_H

#include "kvbench/timeline.h"

/* 0, or ERR_IO when PATH cannot be written. */
int picture_save(const struct timeline *timeline, const char *path) CHECK_RESULT;

#endif
