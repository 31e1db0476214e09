/* A tone in G.711 A-law (ITU-T G.711), and how loud a pitch is (Goertzel). */

#include "demo.h"

#include <math.h>

static uint8_t g711a_encode(int16_t sample)
{
    int value = sample >> 3, mask = 0xd5, segment = 0;
    if (value < 0) {
        mask = 0x55;
        value = -value - 1;
    }
    while (segment < 8 && value >= 0x20 << segment) segment += 1;
    if (segment >= 8) return (uint8_t)(0x7f ^ mask);
    return (uint8_t)(((segment << 4) | ((value >> (segment < 2 ? 1 : segment)) & 0x0f)) ^ mask);
}

int16_t g711a_decode(uint8_t byte)
{
    int segment, magnitude;
    byte ^= 0x55;
    segment = (byte & 0x70) >> 4;
    magnitude = (byte & 0x0f) << 4;
    magnitude = segment == 0 ? magnitude + 8 : segment == 1 ? magnitude + 0x108 : (magnitude + 0x108) << (segment - 1);
    return (int16_t)(byte & 0x80 ? magnitude : -magnitude);
}

void tone_g711a(uint8_t *out, size_t samples, unsigned hertz, uint64_t first_sample)
{
    size_t at;
    for (at = 0; at < samples; at += 1) {
        double phase = 6.283185307179586 * hertz * (double)((first_sample + at) % 8000) / 8000.0;
        out[at] = g711a_encode((int16_t)(8000.0 * sin(phase)));
    }
}

double pitch_share(const int16_t *samples, size_t count, unsigned rate, unsigned hertz)
{
    double re = 0, im = 0, power = 0;
    size_t at;
    for (at = 0; at < count; at += 1) {
        double phase = 6.283185307179586 * hertz * (double)at / rate;
        re += samples[at] * cos(phase);
        im += samples[at] * sin(phase);
        power += (double)samples[at] * samples[at];
    }
    return power > 0 ? 2.0 * (re * re + im * im) / ((double)count * power) : 0;
}
