/* A library needs one source file; its code comes from the static libraries of the folders. */
extern int csfle__nothing;
int        csfle__nothing = 0;
