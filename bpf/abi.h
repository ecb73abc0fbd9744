/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * abi.h - all structs that the BPF programs share with user space.
 *
 * agent/abi/layout.ts is generated from the BTF of these types; `make check`
 * fails when it is stale. Any change of a layout requires a new MAGLANE_ABI.
 *
 * Byte order: addresses are bytes as in the packet. All integers, including
 * ports, are in host order, so that `bpftool map dump` is readable. The
 * programs convert ports where they read or write packets and sockets.
 */
#ifndef MAGLANE_ABI_H
#define MAGLANE_ABI_H

#include <linux/types.h>

/* The directory of the pins is named after it: two ABIs never share a map. */
#define MAGLANE_ABI 3

#define MAGLANE_STATIC_ASSERT(cond) _Static_assert(cond, #cond)

/* An IPv6 address, or an IPv4 one as ::ffff:a.b.c.d. */
struct addr {
	__u8 b[16];
} __attribute__((aligned(4)));

/*
 * Origin of the traffic to a frontend. The scopes differ under a Local traffic
 * policy, which gives clients on this node other backends than external
 * clients.
 */
enum frontend_scope {
	SCOPE_EXTERNAL = 0, /* packets that arrive on a device of the node */
	SCOPE_INTERNAL = 1, /* sockets and pods of this node */
};

struct frontend_key {
	struct addr addr;
	__u16 port;
	__u8 proto; /* IPPROTO_TCP, IPPROTO_UDP */
	__u8 scope; /* enum frontend_scope */
};

MAGLANE_STATIC_ASSERT(sizeof(struct frontend_key) == 20);

enum frontend_flag {
	FRONTEND_NODEPORT = 1 << 0,
	FRONTEND_CLUSTERIP = 1 << 1,
	FRONTEND_LOADBALANCER = 1 << 2,
	FRONTEND_EXTERNALIP = 1 << 3,
	/*
	 * 127.0.0.1 or ::1: only for sockets in the node's own network
	 * namespace
	 */
	FRONTEND_LOOPBACK = 1 << 4,
	/* backends on other nodes only (a Local policy): drop, do not reject */
	FRONTEND_DROP = 1 << 5,
	/* only for sources in the Service's loadBalancerSourceRanges */
	FRONTEND_RANGES = 1 << 6,
	/* removed from its Service: serves existing TCP connections only */
	FRONTEND_ENDED = 1 << 7,
};

struct frontend {
	__u32 service_id; /* one per Service port; never 0 */
	__u32 flags;      /* enum frontend_flag */
	/*
	 * Maglev table: segment << 16 | first chunk; undefined if table_size is
	 * 0
	 */
	__u32 table;
	__u32 table_size;       /* slots, a prime; 0: no usable backend */
	__u32 backends;         /* distinct backends, listed behind the table */
	__u32 affinity_seconds; /* 0: none */
};

MAGLANE_STATIC_ASSERT(sizeof(struct frontend) == 24);

/*
 * Sources that may use the FRONTEND_RANGES frontends of a Service (longest
 * prefix match). IPv4 ranges are prefixes of ::ffff:0:0/96.
 */
struct source_range_key {
	__u32 prefix_len; /* in bits: 32 for the id, plus the length of the range */
	__u32 service_id;
	struct addr addr; /* bits beyond the prefix are 0 */
};

MAGLANE_STATIC_ASSERT(sizeof(struct source_range_key) == 24);

/*
 * Flags of a Service address. They decide how a packet to a port without a
 * frontend is handled.
 */
enum service_address_flag {
	ADDRESS_CLUSTERIP = 1 << 0, /* allocated by the cluster: no other host uses it */
	/* some frontend of this scope has a backend */
	ADDRESS_USABLE_EXTERNAL = 1 << 1,
	ADDRESS_USABLE_INTERNAL = 1 << 2,
};

struct service_address {
	__u32 flags; /* enum service_address_flag */
};

/*
 * Bitmap over the hashes of the service addresses. For a packet to another
 * address the bit is nearly always clear, which saves the lookup in the hash
 * map.
 */
#define ADDRESS_WORDS 4096 /* words of 64 bits: 32 KiB */
/* As many for the frontends. */
#define FRONTEND_WORDS 4096

/*
 * Ranges of ClusterIPs (ServiceCIDR). Packets to their unallocated addresses
 * are dropped.
 */
#define SERVICE_CIDRS_MAX 8

struct service_cidr {
	struct addr net;
	struct addr mask;
};

struct service_cidrs {
	__u32 count;
	struct service_cidr cidr[SERVICE_CIDRS_MAX];
};

MAGLANE_STATIC_ASSERT(sizeof(struct service_cidrs) == 260);

enum backend_flag {
	BACKEND_VALID = 1 << 0, /* clear: the id is free, or its backend is gone */
	BACKEND_LOCAL = 1 << 1, /* an endpoint on this node: the stack delivers to it */
};

/*
 * An endpoint of one Service port. Service ports do not share entries, so that
 * a flow notices when its Service loses an endpoint that another Service keeps.
 * The array index is the backend id; id 0 is never used.
 */
struct backend {
	struct addr addr;
	__u16 port;
	__u8 proto;
	__u8 pad;
	__u32 flags;      /* enum backend_flag */
	__u32 generation; /* incremented when the id is assigned or released */
	__u32 service_id; /* user space identifies the entry by it after a restart */
};

MAGLANE_STATIC_ASSERT(sizeof(struct backend) == 32);

/*
 * Maglev tables are stored in chunks, and chunks in segments. Slot i of a
 * table:
 * segment[table >> 16] [(table & 0xffff) + i / 16] .backend[i % 16].
 * The list of the table's distinct backends starts at the next whole chunk.
 */
#define TABLE_CHUNK_SLOTS 16
#define TABLE_SEGMENT_CHUNKS 16384 /* 1 MiB per segment */
#define TABLE_SEGMENTS 1024

struct table_chunk {
	__u32 backend[TABLE_CHUNK_SLOTS];
};

MAGLANE_STATIC_ASSERT(sizeof(struct table_chunk) == 64);

/* A client at one address of a Service with sessionAffinity ClientIP. */
struct affinity_key {
	struct addr client; /* for a socket: the cookie of its netns, in the last 8 bytes */
	struct addr addr;
	__u16 port;
	__u8 proto;
	__u8 pad;
};

MAGLANE_STATIC_ASSERT(sizeof(struct affinity_key) == 36);

struct affinity {
	__u32 backend_id;
	__u32 last_used; /* jiffies, low 32 bits */
};

MAGLANE_STATIC_ASSERT(sizeof(struct affinity) == 8);

/*
 * A fragmented datagram (RFC 791, RFC 8200): only its first fragment has the
 * ports.
 */
struct fragment_key {
	struct addr saddr;
	struct addr daddr;
	__u32 id;
	__u8 proto; /* 0 for IPv6: only the first fragment determines it */
	__u8 pad[3];
};

MAGLANE_STATIC_ASSERT(sizeof(struct fragment_key) == 40);

struct fragment {
	__u16 sport;
	__u16 dport;
	__u32 seen; /* jiffies, low 32 bits */
	__u16 len;  /* IP length of the first fragment, bytes: decides the path of all */
	__u8 proto;
	__u8 pad;
};

MAGLANE_STATIC_ASSERT(sizeof(struct fragment) == 12);

/* Fragments per datagram that can wait for their first fragment. */
#define HELD_SLOTS 16
/* Size of the buffer for a frame that waits: shorter frames fit. */
#define HELD_BYTES 2048

struct held_key {
	struct fragment_key datagram;
	__u32 slot; /* in the order of arrival */
};

MAGLANE_STATIC_ASSERT(sizeof(struct held_key) == 44);

struct held {
	__u32 seen;    /* jiffies, low 32 bits */
	__u32 serial;  /* random: detects that another fragment has reused the slot */
	__u32 ifindex; /* ingress device */
	__u32 l3_off;  /* bytes before the IP header, equal in the packet that carries the frame */
	__u32 len;
	__u8 frame[HELD_BYTES];
};

MAGLANE_STATIC_ASSERT(sizeof(struct held) == 2068);

/* Buffer to build a held entry: it exceeds the stack of a program. */
struct held_scratch {
	struct held_key key;
	struct held held;
};

/* Addresses and ports of a flow, in the direction of one packet. */
struct tuple {
	struct addr saddr;
	struct addr daddr;
	__u16 sport;
	__u16 dport;
	__u8 proto;
	__u8 pad[3];
};

MAGLANE_STATIC_ASSERT(sizeof(struct tuple) == 40);
/* agent/plan/ended-frontends.ts reads dport without decoding the rest */
MAGLANE_STATIC_ASSERT(__builtin_offsetof(struct tuple, dport) == 34);

/* Set when the entry is created, never changed. */
enum conn_flag {
	CONN_FORWARD = 1 << 0, /* client to backend; clear: backend to client */
	CONN_LOCAL = 1 << 1,   /* the backend is an endpoint on this node */
	CONN_SNAT = 1 << 2,    /* the source is translated as well */
	CONN_HAIRPIN = 1 << 3, /* the client is the backend */
	/*
	 * not a flow to a Service: the node or a masqueraded pod opened it from
	 * a frontend's port
	 */
	CONN_OWN = 1 << 4,
	/*
	 * the client is a connected socket of the node; host-socket.h delivers
	 * replies to it
	 */
	CONN_NODE = 1 << 5,
	/*
	 * replies of the backend are routed differently from replies of the
	 * frontend
	 */
	CONN_DETOUR = 1 << 6,
};

/*
 * Events of one direction of a flow. Each byte is 0 until the event, then 1 for
 * ever.
 */
struct conn_seen {
	__u8 packet; /* any packet */
	__u8 more;   /* TCP: one without SYN. UDP: one after a reply or over 1 s after the first */
	__u8 fin;
	__u8 rst;
};

/*
 * One direction of a translated flow. A packet whose tuple is the key leaves
 * with `nat`. The entry of the other direction is the exact mirror: its key is
 * this nat and its nat is this key, each with source and destination swapped.
 * So each half can be rebuilt from the other. conn.h lists the writers of each
 * field.
 */
struct conn {
	struct tuple nat;
	__u32 backend_id;
	__u32 backend_generation;
	__u32 service_id;
	__u32 last_seen; /* jiffies, low 32 bits, of this half */
	/*
	 * checksum differences (RFC 1624) of the translation, constant per flow
	 */
	__u16 addr_diff;
	__u16 port_diff;
	__u32 frontend_epoch;      /* forward UDP: 1 + epoch of the last look at its frontend, or 0 */
	__u32 claim;               /* forward: count of the slot when this flow last owned the reverse key */
	__u16 slot;                /* slot of the reverse key in `claims` */
	__u8 flags;                /* enum conn_flag */
	__u8 backend_closed_first; /* TCP: the backend may be in TIME_WAIT */
	struct conn_seen own;      /* events in the entry's direction */
	struct conn_seen peer;     /* events in the other direction */
};

MAGLANE_STATIC_ASSERT(sizeof(struct conn) == 80);

/*
 * Buffer to build both halves of a flow: they exceed the stack of a program,
 * and global functions, which the verifier checks separately, take the context
 * and numbers only.
 */
struct conn_scratch {
	struct tuple key; /* half that a slow path works on */
	struct tuple forward_key;
	struct tuple reverse_key;
	struct tuple mirror_key;
	struct tuple mirror_of;
	struct conn forward;
	struct conn reverse;
	struct frontend_key frontend; /* destination of a new flow */
};

/* Number of slots that reverse keys hash to. */
#define CLAIM_SLOTS 16384

/*
 * Key: a socket and the backend that it was given; the value has the frontend
 * that it dialled. With :: as address the value is a backend of an unconnected
 * socket, and `port` is the index in its list.
 */
struct sock_key {
	__u64 cookie;
	struct addr addr; /* backend */
	__u16 port;
	__u8 proto;
	__u8 pad[5];
};

MAGLANE_STATIC_ASSERT(sizeof(struct sock_key) == 32);

struct sock_frontend {
	struct addr addr;
	__u16 port;
	__u8 pad[2];
	__u32 service_id;
	__u32 backend_id;
	__u32 backend_generation; /* differs from the backend's when that backend is gone */
	__u64 netns_cookie;       /* of a pod's UDP socket; else 0 */
};

MAGLANE_STATIC_ASSERT(sizeof(struct sock_frontend) == 40);

/*
 * Unanswered TCP retransmissions after which a backend that its Service has
 * lost counts as gone. For data that takes 1.4 s at least; a retransmitted SYN
 * has no data to lose. A backend that is alive but removed from the Service
 * answers before that.
 */
#define SILENT_RETRIES 3
#define SILENT_SYN_RETRIES 1

/* Settings of the node that change while programs run. One entry, index 0. */
struct settings {
	struct addr snat_v4; /* source of packets forwarded to other nodes; :: if none */
	struct addr snat_v6;
};

MAGLANE_STATIC_ASSERT(sizeof(struct settings) == 32);

/*
 * MAC address of a device with our XDP program, at index ifindex modulo
 * DEVICE_MACS. If two devices share an index, the map has one of them; XDP
 * checks only the group bit of frames that arrive on the other.
 */
#define DEVICE_MACS 1024

struct device_mac {
	__u32 ifindex; /* 0: none */
	__u8 mac[6];
	__u8 pad[2];
};

MAGLANE_STATIC_ASSERT(sizeof(struct device_mac) == 12);

/* State of a token bucket (bucket.h). */
struct bucket {
	__u32 filled; /* jiffies, low 32 bits */
	__u32 credit; /* in units of 1/hz token */
};

MAGLANE_STATIC_ASSERT(sizeof(struct bucket) == 8);

/*
 * Kinds of replies that the programs generate. Each kind has its own rate
 * limit.
 */
enum answer_kind {
	ANSWER_REFUSAL = 0, /* TCP RST, ICMP port unreachable */
	ANSWER_TOO_BIG,
	ANSWER_ECHO,
	ANSWER_KINDS,
};

/* Properties of a device that decide where an endpoint is. */
enum device_flag {
	DEVICE_UPLINK = 1 << 0, /* leads to other nodes */
	/* leads to endpoints of this node; a bridge may lead to both */
	DEVICE_INNER = 1 << 1,
	/* has our programs, so replies to its own address may arrive on it */
	DEVICE_SERVED = 1 << 2,
};

struct device {
	__u32 flags; /* enum device_flag */
	/*
	 * source of packets sent by it if the kernel does not return one; :: if
	 * none
	 */
	struct addr snat_v4;
	struct addr snat_v6;
};

MAGLANE_STATIC_ASSERT(sizeof(struct device) == 36);

/* Flags in map routing. */
enum routing_flag {
	ROUTING_BY_SOURCE = 1 << 0, /* policy routing rules match sources or devices */
};

/*
 * A prefix that the routing tables deliver on this node. IPv4 prefixes are in
 * ::ffff:0:0/96.
 */
struct local_route_key {
	__u32 prefix_len; /* in bits */
	struct addr addr; /* bits beyond the prefix are 0 */
};

MAGLANE_STATIC_ASSERT(sizeof(struct local_route_key) == 20);

/* Number of timestamps that next hops share, by MAC address and device. */
#define NEXT_HOP_SLOTS 256

/*
 * Reasons for the fate of a packet or a connect(): index of the counters map, whose order is the
 * ABI, so new ones are added at the end. Each has a class, which decides the action:
 *   PASS  the stack gets the packet, as it came or translated
 *   SENT  the step has chosen: p->action
 *   HELD  the program keeps a copy, the packet ends here
 *   DROP  REASON_DROP_<name>
 *   NOTE  an event beside a packet's reason, or of a socket: no packet ends with it
 */
/* clang-format off */
#define REASONS(PASS, SENT, HELD, DROP, NOTE) \
	PASS(PASS_NOT_IP) \
	PASS(PASS_NOT_SERVICE) \
	PASS(PASS_FRAGMENT)             /* XDP: out of order, left to TC; egress: its first is unknown */ \
	PASS(PASS_PROTOCOL) \
	PASS(PASS_CHECKSUM)             /* XDP: an unfinished checksum, left to TC */ \
	PASS(PASS_LOCAL)                /* XDP: a local backend, left to TC */ \
	PASS(PASS_NO_BACKEND)           /* XDP: left to TC, which refuses it */ \
	PASS(PASS_FIB)                  /* XDP: next hop unknown or to be confirmed, left to TC */ \
	PASS(PASS_DEVICE)               /* XDP: the egress device takes no XDP frames */ \
	PASS(TO_LOCAL)                  /* translated, delivered by the stack */ \
	PASS(TO_ROUTED)                 /* translated, routed by the stack to another node */ \
	SENT(TO_REMOTE)                 /* translated both ways, forwarded to another node */ \
	SENT(TO_CLIENT)                 /* a reply, with the frontend as source again */ \
	PASS(REPLY_ROUTED)              /* the same for a reply that the stack routes */ \
	SENT(TO_SELF)                   /* hairpin */ \
	HELD(FRAGMENT_HELD)             /* arrived before its datagram's first, waits for it */ \
	SENT(FRAGMENT_RELEASED)         /* the first has arrived: received again, in order */ \
	SENT(REJECT_NO_BACKEND)         /* RST or ICMP port unreachable */ \
	SENT(REJECT_TOO_BIG)            /* fragmentation needed, or packet too big */ \
	SENT(REJECT_NO_PORT)            /* the service address has no such port */ \
	SENT(REJECT_GONE)               /* TCP of a socket whose backend is gone and silent */ \
	DROP(NO_BACKEND)                /* Local policy, backends on other nodes only */ \
	DROP(NO_ADDRESS)                /* unallocated address in a ClusterIP range */ \
	DROP(PROTOCOL)                  /* to a service address, neither TCP nor UDP */ \
	DROP(SOURCE_RANGE)              /* the Service does not allow the source */ \
	SENT(ECHO)                      /* an ICMP echo request, answered */ \
	PASS(PASS_MALFORMED)            /* not whole: it may not be for a Service, so the stack judges it */ \
	DROP(MARTIAN)                   /* the source can be no sender */ \
	DROP(FRAGMENT)                  /* arrived before its first, no room to wait */ \
	DROP(TTL) \
	DROP(NO_PORT)                   /* no free port for SNAT */ \
	DROP(NO_ROUTE) \
	DROP(NO_SNAT_ADDR) \
	DROP(STALE)                     /* the connection's backend is gone */ \
	DROP(REWRITE)                   /* a BPF helper failed */ \
	PASS(PASS_OTHER_HOST)           /* frame for another host */ \
	PASS(PASS_EXTENSIONS)           /* too many or too long IPv6 extension headers */ \
	DROP(RATE)                      /* a reply beyond the rate limit */ \
	NOTE(SOCK_CONNECT) \
	NOTE(SOCK_SENDMSG) \
	NOTE(SOCK_REFUSED) \
	NOTE(CONN_NEW) \
	NOTE(CONN_RESUMED)              /* TCP without a SYN: its entry was evicted, or on another node */ \
	NOTE(CONN_EVICTED_HALF)         /* one half was evicted, and created again */ \
	PASS(PASS_OWN)                  /* to a frontend's port, but a reply to a flow of the node */ \
	NOTE(CONN_LOST)                 /* another flow has taken this one's source port */
/* clang-format on */

#define REASON_NUMBER(name) REASON_##name,
#define REASON_DROP_NUMBER(name) REASON_DROP_##name,

enum reason {
	REASONS(REASON_NUMBER, REASON_NUMBER, REASON_NUMBER, REASON_DROP_NUMBER,
		REASON_NUMBER) REASON_COUNT
};

/* Entries of the counters map. Spare ones let a new reason keep the map. */
#define REASONS_MAX 64

MAGLANE_STATIC_ASSERT(REASON_COUNT <= REASONS_MAX);

struct counter {
	__u64 packets;
	__u64 bytes;
};

#endif
