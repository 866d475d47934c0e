/* `kvnode check`: reads all of a stopped node's store and says whether it is whole. */
#ifndef CHECK_H
#define CHECK_H

/* ARGUMENTS after the subcommand. Returns the exit code: 0 whole, 6 damaged, 2 and 5 not checked.
 */
int check(int count, char *const *arguments);

#endif
