/* A folder as memory card: each recording is a file named BEGIN-END.h264, with Unix seconds. */

#define _POSIX_C_SOURCE 200809L

#include "demo.h"

#include <dirent.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static int by_time(const void *one, const void *other)
{
    const recording_t *a = one, *b = other;
    return a->begin < b->begin ? -1 : a->begin > b->begin;
}

int card_list(const char *folder, uint64_t begin, uint64_t end, recording_t **list)
{
    DIR *directory = opendir(folder);
    struct dirent *entry;
    int count = 0, room = 0;
    *list = NULL;
    if (!directory) return -1;
    while ((entry = readdir(directory)) != NULL) {
        recording_t found;
        struct stat status;
        char path[1024];
        int read = 0;
        memset(&found, 0, sizeof found);
        if (sscanf(entry->d_name, "%" SCNu64 "-%" SCNu64 ".h264%n", &found.begin, &found.end, &read) != 2) continue;
        if (read == 0 || entry->d_name[read] != 0 || strlen(entry->d_name) >= sizeof found.name) continue;
        if (found.begin >= end || found.end <= begin) continue;
        snprintf(path, sizeof path, "%s/%s", folder, entry->d_name);
        if (stat(path, &status) != 0) continue;
        found.size = (uint32_t)status.st_size;
        strcpy(found.name, entry->d_name);
        if (count == room) {
            recording_t *more;
            room = room ? 2 * room : 16;
            more = realloc(*list, (size_t)room * sizeof **list);
            if (!more) break;
            *list = more;
        }
        (*list)[count] = found;
        count += 1;
    }
    closedir(directory);
    if (count > 0) qsort(*list, (size_t)count, sizeof **list, by_time);
    return count;
}
