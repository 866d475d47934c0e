/* `kvsim gossip`: how fast and how dear gossip is at scale (sim/gossip_model.h). */
#ifndef KVSIM_GOSSIP_H
#define KVSIM_GOSSIP_H

/* ARGV[0] is "gossip". Returns the exit code: 0 all knew every change in the end, 1 not, 2 usage.
 */
int gossip_command(int argc, char **argv);

#endif
