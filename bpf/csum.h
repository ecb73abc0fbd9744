/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * csum.h - Internet checksums (RFC 1071) and their incremental update (RFC 1624).
 */
#ifndef MAGLANE_CSUM_H
#define MAGLANE_CSUM_H

#include <linux/bpf.h>
#include <linux/types.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "abi.h"

/* 32-bit one's complement sum to 16 bits, not complemented. */
static __always_inline __u16 csum_fold16(__u64 sum)
{
	sum = (sum & 0xffffffff) + (sum >> 32);
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return (__u16)sum;
}

/* The checksum field after a change of the data by `diff`. */
static __always_inline __u16 csum_update(__u16 check, __u64 diff)
{
	return (__u16)~csum_fold16((__u64)(__u16)~check + diff);
}

/* Difference of both addresses; the IPv4 prefix ::ffff cancels out. */
static __always_inline __u32 csum_addr_diff(const struct tuple *from,
					    const struct tuple *to)
{
	return csum_fold16((__u32)bpf_csum_diff((void *)&from->saddr,
						2 * sizeof(struct addr),
						(void *)&to->saddr,
						2 * sizeof(struct addr), 0));
}

static __always_inline __u32 csum_port_diff(const struct tuple *from,
					    const struct tuple *to)
{
	return (__u32)csum_fold16((__u64)(__u16)~bpf_htons(from->sport) +
				  bpf_htons(to->sport) +
				  (__u16)~bpf_htons(from->dport) +
				  bpf_htons(to->dport));
}

/* Sum of the pseudo header (RFC 793, RFC 8200 section 8.1), `len` in bytes. */
static __always_inline __u64 csum_pseudo(const struct tuple *t, __u32 len,
					 int v4)
{
	const __u32 *a = (const __u32 *)t;
	__u64 sum = bpf_htonl(len) + (__u64)bpf_htonl(t->proto);

	/* saddr and daddr are adjacent; ::ffff is not summed */
	sum += (__u64)a[3] + a[7];
	if (!v4)
		sum += (__u64)a[0] + a[1] + a[2] + a[4] + a[5] + a[6];
	return sum;
}

#endif
