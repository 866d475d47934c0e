/* Scenarios: a story told in commands, and the trace that it must leave.
 *
 * A file has one command a line; # begins a comment. Nodes are a, b, c and so on; keys k0 to k63,
 * and s0 to s63 of a bucket of siblings, all in one range. The output repeats each command behind
 * "> " and shows the lines of the trace that contain one of the words of `show`, with milliseconds
 * since the command (dots: much later). Tests compare it with a committed file, so that the output
 * reads as documentation of the protocol.
 *
 *   each NAME VALUE...       first line only: the whole file once for each value, for $NAME
 *   nodes N | copies N | range R     before `found`
 *   spares N                 too: as many nodes more, which `start` brings in later
 *   horizon MS | deadline MS         too: between horizons; the longest deadline
 *   memory KIB               too: of a store's memtables
 *   show WORD...             lines with any of these words from now on, _ for a space; none: no
 *                            lines
 *   found                    start all nodes; a founds, the others join; wait until all are ready
 *   grow NODE...             one more copy of the range on each node; wait until done
 *   learn NODE               a plan of one more copy there; does not wait
 *   put NODE KEY VALUE       through that node, blind; wait for the answer
 *   delete NODE KEY
 *   add NODE KEY             one more to the number that the key holds; shows what it is then
 *   get NODE KEY             strict, quorum; shows what is found
 *   follow put|delete ...    the same with the context of the last get
 *   begin put|delete|get|add ... the same without waiting
 *   sloppy put|delete|get ... the same, not strict
 *   retry put|delete ...     once more, under the name of the last write of the key
 *   fill NODE                ten puts of 400 bytes each through it, k50 to k59; does not wait
 *   move SLOT FROM TO        a plan of one move; does not wait. TO nobody: the slot is given up
 *   cancel                   cancel the plan
 *   leave NODE               it is to leave the cluster, once it owns nothing
 *   remove NODE              it is no member any more, whether it runs or not
 *   accept NODE THROUGH      the same through a node that forks ranges without a majority
 *   bucket                   create the bucket of siblings, "sib"
 *   repair NODE [BUCKET]     it compares its copies now; those of one bucket's keys alone
 *   settle                   until nothing moves, within 100 s
 *   until TEXT               until a line of the trace, shown or not, contains TEXT, within 100 s
 *   run MS
 *   crash NODE | power NODE | start NODE | pause NODE | resume NODE
 *   backup NODE | restore NODE   copy its disk; kill it and start it with that copy
 *   rot NODE KEY             a bit flips in the record of the key in its database
 *   die NODE STEP            it is killed instead of its STEPth durable step from now, and comes
 *                            back 300 ms later
 *   clock NODE MS            its wall clock is so far ahead of the world's, or behind with a minus
 *   drop FROM TO TYPE COUNT  the next COUNT messages of TYPE (any: *) are lost
 *   late FROM TO TYPE COUNT MS   they come so much later, and others overtake them
 *   cut FROM TO | heal       one direction of a link; all links
 *   own                      who has how many keys of the range in store, and the newest record */
#ifndef SIM_SCENARIO_H
#define SIM_SCENARIO_H

#include <stdio.h>

/* Run the file at PATH and write its story to OUT. 0, 1 after a violation or a wait that did not
 * end, 2 for a file that cannot be read or understood (said on stderr). */
int scenario_run(const char *path, FILE *out);

#endif
