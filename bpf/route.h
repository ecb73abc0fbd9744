/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * route.h - lookups in the kernel's routes: the path of a packet, the source
 * address of that path, and whether a backend is delivered here.
 */
#ifndef MAGLANE_ROUTE_H
#define MAGLANE_ROUTE_H

#include <bpf/bpf_endian.h>

#include "config.h"
#include "local-route.h"
#include "maps.h"
#include "packet.h"

#include MAGLANE_HOOK

/* From <sys/socket.h>, which has no place in a BPF program. */
#define AF_INET 2
#define AF_INET6 10

/* BPF_FIB_LOOKUP_*, which older headers lack. */
#define FIB_SKIP_NEIGH (1U << 2)
#define FIB_SRC (1U << 4)
#define FIB_MARK (1U << 5)

/*
 * Sets the mark for rules of policy routing. The kernel reads it from the field
 * that it writes the MAC addresses to. 0 or FIB_MARK.
 */
static __always_inline __u32 route_mark(const ctx_t *ctx,
					struct bpf_fib_lookup *fib)
{
	__u32 mark = ctx_mark(ctx);

	if (!mark)
		return 0;
	__builtin_memcpy(fib->smac, &mark, sizeof(mark));
	return FIB_MARK;
}

/*
 * Looks up the path of a packet with tuple `to` and `len` bytes that arrived by
 * a device. `len` 0: the actual length.
 */
static __always_inline long route_lookup_by(ctx_t *ctx, const struct packet *p,
					    __u32 ifindex,
					    const struct tuple *to, __u16 len,
					    __u32 flags,
					    struct bpf_fib_lookup *fib)
{
	__builtin_memset(fib, 0, sizeof(*fib));
	fib->ifindex = ifindex;
	fib->l4_protocol = to->proto;
	fib->sport = bpf_htons(to->sport);
	fib->dport = bpf_htons(to->dport);
	fib->tot_len = len;
	if (p->v4) {
		fib->family = AF_INET;
		fib->tos = p->tos;
		fib->ipv4_src = addr_v4(&to->saddr);
		fib->ipv4_dst = addr_v4(&to->daddr);
	} else {
		fib->family = AF_INET6;
		fib->flowinfo = bpf_htonl((__u32)p->tos << 20);
		__builtin_memcpy(fib->ipv6_src, &to->saddr, 16);
		__builtin_memcpy(fib->ipv6_dst, &to->daddr, 16);
	}
	return bpf_fib_lookup(ctx, fib, sizeof(*fib),
			      flags | route_mark(ctx, fib));
}

static __always_inline long route_lookup(ctx_t *ctx, const struct packet *p,
					 const struct tuple *to, __u16 len,
					 __u32 flags, struct bpf_fib_lookup *fib)
{
	return route_lookup_by(ctx, p, ctx_ifindex(ctx), to, len, flags, fib);
}

/* Has the lookup found a path? */
static __always_inline int route_found(long result)
{
	return result == BPF_FIB_LKUP_RET_SUCCESS ||
	       result == BPF_FIB_LKUP_RET_NO_NEIGH;
}

/* Do rules of policy routing match the source of packets? */
static __always_inline int route_by_source(void)
{
	__u32 zero = 0, *flags = bpf_map_lookup_elem(&routing, &zero);

	return flags && (*flags & ROUTING_BY_SOURCE);
}

/* May it be the source of packets to other nodes? */
static __always_inline int route_source_usable(const struct addr *a)
{
	const __u32 *x = (const __u32 *)a->b;

	if (!(x[0] | x[1]) && x[2] == bpf_htonl(0xffff))
		return x[3] != 0;
	/* fe80::/10 is link-local */
	return !addr_is_zero(a) && (x[0] & bpf_htonl(0xffc00000)) !=
					   bpf_htonl(0xfe800000);
}

/* The node's own address. 0, or -1 when it has none of this family. */
static __always_inline int route_node_source(const struct packet *p,
					     struct addr *out)
{
	__u32 zero = 0;
	struct settings *s = bpf_map_lookup_elem(&node_settings, &zero);

	if (!s)
		return -1;
	*out = p->v4 ? s->snat_v4 : s->snat_v6;
	return addr_is_zero(out) ? -1 : 0;
}

/*
 * The source address of the path: the one that the kernel returns, else the
 * agent's one for the device, else the node's own. The latter also for a device
 * without our programs, which would not see the reply. 0, or -1 when there is
 * none.
 */
static __always_inline int route_source(const struct packet *p,
					const struct bpf_fib_lookup *fib,
					const struct device *d, struct addr *out)
{
	int served = d && (d->flags & DEVICE_SERVED);

	if (served && have_fib_src) {
		if (p->v4)
			addr_from_v4(out, fib->ipv4_src);
		else
			__builtin_memcpy(out, fib->ipv6_src, sizeof(*out));
		if (route_source_usable(out))
			return 0;
	}
	if (served) {
		*out = p->v4 ? d->snat_v4 : d->snat_v6;
		if (!addr_is_zero(out))
			return 0;
	}
	return route_node_source(p, out);
}

enum route_place {
	ROUTE_HERE,    /* delivered on this node: the client's address can stay */
	ROUTE_AWAY,    /* *to has the source that the reply returns to */
	ROUTE_NOWHERE, /* the node has no address of this family */
};

/*
 * Where the backend of an external flow is; *to is its translation without a
 * source. Endpoints that users create have no nodeName, and pods with a device
 * of their own (macvlan, SR-IOV) do not reply through this node. So `near`, the
 * nodeName of the API, decides only if the routes do not.
 */
static __always_inline enum route_place route_backend(ctx_t *ctx,
						      const struct packet *p,
						      struct tuple *to, int near)
{
	__u32 flags = (have_fib_src ? FIB_SRC : 0) |
		      (have_fib_skip_neigh ? FIB_SKIP_NEIGH : 0);
	struct bpf_fib_lookup fib;
	struct device *d;
	__u32 kind = 0;
	int failed;
	long found;

	/*
	 * length 1, which fits every path: with 0 TC checks the actual length
	 */
	found = route_lookup(ctx, p, to, 1, flags, &fib);
	if (route_found(found)) {
		d = bpf_map_lookup_elem(&devices, &fib.ifindex);
		kind = d ? d->flags & (DEVICE_UPLINK | DEVICE_INNER) : 0;
		failed = route_source(p, &fib, d, &to->saddr);
	} else {
		if (found == BPF_FIB_LKUP_RET_NOT_FWDED &&
		    route_is_local(&to->daddr))
			kind = DEVICE_INNER;
		failed = route_node_source(p, &to->saddr);
	}
	if (kind == DEVICE_INNER || (kind != DEVICE_UPLINK && near)) {
		to->saddr = p->tuple.saddr;
		return ROUTE_HERE;
	}
	return failed ? ROUTE_NOWHERE : ROUTE_AWAY;
}

#endif
