/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * left-out.h - pods whose sockets are not translated, because the label
 * maglane.io/socket-lb of the pod or its namespace says so: TC serves them. A
 * pod is identified by its cgroup, an ancestor of those of all its processes.
 */
#ifndef MAGLANE_LEFT_OUT_H
#define MAGLANE_LEFT_OUT_H

#include "maps.h"

/*
 * Levels at which the cgroup of a pod may be: 2 or 3 with a kubelet, up to 7
 * with a kubelet in a container (kind).
 */
#define LEFT_OUT_LEVELS 8

/* Does the running process belong to a pod that is left out? */
static __always_inline int left_out(void)
{
	__u32 zero = 0;
	__u32 *count = bpf_map_lookup_elem(&left_out_count, &zero);
	__u64 id;
	int level;

	if (!count || !*count)
		return 0;
#pragma unroll
	for (level = 1; level <= LEFT_OUT_LEVELS; level++) {
		id = bpf_get_current_ancestor_cgroup_id(level);
		if (!id)
			return 0;
		if (bpf_map_lookup_elem(&left_out_cgroups, &id))
			return 1;
	}
	return 0;
}

#endif
