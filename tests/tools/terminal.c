/* Preloaded by tests on machines without pseudo-terminals: standard input, output and error count as one. */
__attribute__((visibility("default"))) int isatty(int fd);
int isatty(int fd) { return fd >= 0 && fd <= 2; }
