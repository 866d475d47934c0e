/* `kvnode serve`: from the arguments to a running node, and back out. */
#ifndef SERVE_H
#define SERVE_H

/* ARGUMENTS after the subcommand, for the life of the process. Returns the exit code. */
int serve(int count, char *const *arguments);

#endif
