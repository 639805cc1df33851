/**
 * Timing for benchmarks: the cost of one call, least disturbed. A benchmark is a program that prints lines
 * "name value unit (note)" and exits 1 when a budget of DESIGN.md section 5 is missed by more than a quarter.
 */
#ifndef CSFLE_BENCH_BENCH_H
#define CSFLE_BENCH_BENCH_H

#include <stdint.h>
#include <stdio.h>
#include <time.h>

static inline uint64_t bench_now_ns(void)
{
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/** Forbids the compiler to think that nobody looks at what @p p points to. */
static inline void bench_use(const void *p) { __asm__ volatile("" : : "r"(p) : "memory"); }

/** CPU time of the whole process in ns, for what runs in several threads. */
static inline uint64_t bench_cpu_ns(void)
{
  struct timespec t;
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
  return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/** Nanoseconds of one fn(arg): the least mean over 60 slices of at least 2 ms, after one slice that does not count. */
static inline double bench_ns(void (*fn)(void *arg), void *arg)
{
  uint64_t calls = 1, took = 0;
  double   best = 1e18;
  for (;;) {
    uint64_t from = bench_now_ns();
    for (uint64_t i = 0; i < calls; i++) fn(arg);
    took = bench_now_ns() - from;
    if (took >= 2000000) break;
    calls *= 2;
  }
  for (int slice = 0; slice < 60; slice++) {
    uint64_t from = bench_now_ns();
    for (uint64_t i = 0; i < calls; i++) fn(arg);
    double mean = (double)(bench_now_ns() - from) / (double)calls;
    if (mean < best) best = mean;
  }
  return best;
}

static inline void bench_print(const char *name, double value, const char *unit) { printf("%-52s %12.1f %s\n", name, value, unit); }

/** Prints value / limit against a budget; 1 when it is missed by more than a quarter, else 0. Add up for the exit code. */
static inline int bench_budget(const char *name, double value, double limit, const char *unit)
{
  int missed = value > limit * 1.25;
  printf("%-52s %12.2f %s (budget %.2f)%s\n", name, value, unit, limit, missed ? "  MISSED" : value > limit ? "  over" : "");
  return missed;
}

/** The same for a value that must be at least @p limit. */
static inline int bench_at_least(const char *name, double value, double limit, const char *unit)
{
  int missed = value * 1.25 < limit;
  printf("%-52s %12.2f %s (at least %.2f)%s\n", name, value, unit, limit, missed ? "  MISSED" : value < limit ? "  under" : "");
  return missed;
}

#endif
