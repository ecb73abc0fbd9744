/*
 * dns-load.c - sends DNS queries over UDP as fast as the server answers.
 *
 *   dns-load ADDRESS PORT SECONDS WINDOW < NAMES
 *
 * Queries A records of the names on standard input in a loop, with WINDOW
 * queries outstanding. After 100 ms without an answer it sends a new window,
 * which replaces lost queries. Prints one line: answers, answers with an
 * address, seconds.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define MAX_NAMES 4096
#define MAX_QUERY 300
#define MAX_WINDOW 512
#define MAX_ANSWER 1500
#define HEADER 12

struct query {
	uint8_t bytes[MAX_QUERY];
	size_t length;
};

static struct query queries[MAX_NAMES];
static size_t count;

static void die(const char *what)
{
	fprintf(stderr, "dns-load: %s: %s\n", what, strerror(errno));
	exit(1);
}

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* Encodes a query: RD, one question, type A, class IN. */
static void query_make(struct query *q, const char *name)
{
	uint8_t *p = q->bytes + HEADER;

	memset(q, 0, sizeof(*q));
	q->bytes[2] = 1;
	q->bytes[5] = 1;
	while (*name) {
		size_t length = strcspn(name, ".");

		if (length == 0 || length > 63 ||
		    p + length + 6 > q->bytes + MAX_QUERY) {
			errno = EINVAL;
			die(name);
		}
		*p++ = (uint8_t)length;
		memcpy(p, name, length);
		p += length;
		name += length + (name[length] == '.');
	}
	p++;
	p[1] = 1;
	p[3] = 1;
	q->length = (size_t)(p + 4 - q->bytes);
}

static void read_names(void)
{
	char line[MAX_QUERY];

	while (count < MAX_NAMES && fgets(line, sizeof(line), stdin)) {
		line[strcspn(line, "\n")] = 0;
		if (line[0])
			query_make(&queries[count++], line);
	}
	if (count == 0) {
		errno = EINVAL;
		die("no names");
	}
}

static int connect_to(const char *address, const char *port)
{
	struct sockaddr_in to = { .sin_family = AF_INET };
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	to.sin_port = htons((uint16_t)atoi(port));
	if (inet_pton(AF_INET, address, &to.sin_addr) != 1)
		die(address);
	if (fd < 0 || connect(fd, (void *)&to, sizeof(to)))
		die("connect");
	return fd;
}

/* Sends the next n queries of the list, each with a new id. */
static void send_queries(int fd, int n, size_t *next)
{
	struct mmsghdr messages[MAX_WINDOW] = {};
	struct iovec parts[MAX_WINDOW];
	static uint16_t id;
	int sent = 0;

	for (int i = 0; i < n; i++) {
		struct query *q = &queries[(*next)++ % count];

		q->bytes[0] = (uint8_t)(++id >> 8);
		q->bytes[1] = (uint8_t)id;
		parts[i] = (struct iovec){ q->bytes, q->length };
		messages[i].msg_hdr.msg_iov = &parts[i];
		messages[i].msg_hdr.msg_iovlen = 1;
	}
	while (sent < n) {
		int got = sendmmsg(fd, messages + sent,
				   (unsigned int)(n - sent), 0);

		if (got < 0 && errno != EINTR && errno != ENOBUFS)
			die("sendmmsg");
		if (got > 0)
			sent += got;
	}
}

/* Receives the pending answers and counts those with an address in *good. */
static int take_answers(int fd, long *good)
{
	static uint8_t bytes[MAX_WINDOW][MAX_ANSWER];
	struct mmsghdr messages[MAX_WINDOW] = {};
	struct iovec parts[MAX_WINDOW];
	int got;

	for (int i = 0; i < MAX_WINDOW; i++) {
		parts[i] = (struct iovec){ bytes[i], MAX_ANSWER };
		messages[i].msg_hdr.msg_iov = &parts[i];
		messages[i].msg_hdr.msg_iovlen = 1;
	}
	got = recvmmsg(fd, messages, MAX_WINDOW, MSG_DONTWAIT, NULL);
	if (got < 0 && errno != EAGAIN && errno != EINTR)
		die("recvmmsg");
	for (int i = 0; i < got; i++)
		if (messages[i].msg_len > HEADER && bytes[i][7] > 0 &&
		    (bytes[i][3] & 15) == 0)
			(*good)++;
	return got < 0 ? 0 : got;
}

int main(int argc, char **argv)
{
	struct pollfd p = { .events = POLLIN };
	long answers = 0, good = 0;
	double start, end;
	size_t next = 0;
	int window;

	if (argc != 5 || (window = atoi(argv[4])) < 1 || window > MAX_WINDOW) {
		fprintf(stderr, "usage: dns-load ADDRESS PORT SECONDS WINDOW\n");
		return 2;
	}
	read_names();
	p.fd = connect_to(argv[1], argv[2]);
	start = now();
	end = start + atof(argv[3]);
	send_queries(p.fd, window, &next);
	while (now() < end) {
		int got;

		if (poll(&p, 1, 100) == 0) {
			send_queries(p.fd, window, &next);
			continue;
		}
		got = take_answers(p.fd, &good);
		answers += got;
		send_queries(p.fd, got, &next);
	}
	printf("%ld %ld %.6f\n", answers, good, now() - start);
	return 0;
}
