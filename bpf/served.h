/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * served.h - whether TC sees a pod's datagrams to Services. Sockets translate
 * for a pod whose device has no program of ours (the agent does not run, or the
 * device is no veth). TC learns from their datagrams: when one that a socket
 * translated passes TC, TC can translate the next ones.
 */
#ifndef MAGLANE_SERVED_H
#define MAGLANE_SERVED_H

#include "config.h"
#include "maps.h"

/*
 * Seconds after a socket's translation during which TC looks for such
 * datagrams.
 */
#define SERVED_LEARN 2

static __always_inline int served_netns_known(__u64 cookie)
{
	return map_has(&served_netns, &cookie);
}

/* Records that a pod's socket has translated a datagram itself. */
static __always_inline void served_not_yet(void)
{
	__u32 zero = 0, now = (__u32)bpf_jiffies64();
	__u32 *since = bpf_map_lookup_elem(&unserved_since, &zero);

	if (since && *since != now)
		*since = now;
}

static __always_inline int served_learning(void)
{
	__u32 zero = 0;
	__u32 *since = bpf_map_lookup_elem(&unserved_since, &zero);

	return since && *since &&
	       (__u32)bpf_jiffies64() - *since <= SERVED_LEARN * hz;
}

/* Records that TC sees the namespace. 1 when that is new. */
static __always_inline int served_learn(__u64 cookie)
{
	__u32 one = 1;

	return cookie && !served_netns_known(cookie) &&
	       !bpf_map_update_elem(&served_netns, &cookie, &one, BPF_ANY);
}

#endif
