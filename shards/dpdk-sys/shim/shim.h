/* What Rust sees of DPDK: opaque pointers, numbers, and structures of our own layout, never DPDK's.
 *
 * Functions that can fail return a negative errno. Nothing here keeps state but the place of the receive timestamp.
 * src/lib.rs declares the same by hand; keep the two alike. */
#ifndef MOSAIC_DPDK_SHIM_H
#define MOSAIC_DPDK_SHIM_H

#include <stdint.h>

struct rte_mbuf;
struct rte_mempool;

#define MOSAIC_NAME_LEN 64
#define MOSAIC_BURST_MAX 64

/* --- process ---------------------------------------------------------------------------------------------------- */

const char *mosaic_version(void);
/* Folder of the drivers that are loaded when the EAL starts; empty where they are linked in. */
const char *mosaic_driver_folder(void);
const char *mosaic_strerror(int error);
int mosaic_eal_init(int argc, char **argv);
int mosaic_eal_cleanup(void);
/* Folder that the EAL has made for this process, or NULL. */
const char *mosaic_runtime_folder(void);
/* Attaches the device that devargs names ("net_null0,size=64"). */
int mosaic_device_attach(const char *devargs);
/* Whether the calling thread has an lcore, and with it a mempool cache. */
int mosaic_thread_has_lcore(void);
int mosaic_thread_register(void);
void mosaic_thread_unregister(void);

/* --- memory ----------------------------------------------------------------------------------------------------- */

/* NULL and *error where it cannot be made. */
struct rte_mempool *mosaic_pool_create(const char *name, uint32_t mbufs, uint32_t cache, uint32_t data_len,
                                       int32_t socket, int *error);
void mosaic_pool_free(struct rte_mempool *pool);
uint32_t mosaic_pool_in_use(const struct rte_mempool *pool);

/* --- devices, control path -------------------------------------------------------------------------------------- */

/* Checksums that a device finishes as it sends. */
#define MOSAIC_TX_TCP 1
#define MOSAIC_TX_UDP 2

struct mosaic_device_info {
	char name[MOSAIC_NAME_LEN];
	char driver[MOSAIC_NAME_LEN];
	uint64_t rx_offloads;
	uint64_t tx_offloads;
	uint32_t max_rx_packet_len;
	int32_t numa;
	uint16_t max_rx_queues;
	uint16_t max_tx_queues;
	uint16_t max_rx_descriptors;
	uint16_t max_tx_descriptors;
	uint16_t reta_size;
	uint16_t hash_key_len;
	uint16_t min_mtu;
	uint16_t max_mtu;
	uint16_t mtu;
	uint8_t can_rss;      /* spreads TCP or UDP over IPv4 or IPv6 */
	uint8_t can_scatter;  /* receives into chained mbufs */
	uint8_t can_multi_segs; /* sends chained mbufs */
	uint8_t tx_checksums; /* MOSAIC_TX_*: what it can finish as it sends */
	uint8_t mac[6];
};

struct mosaic_device_config {
	const uint8_t *rss_key; /* NULL: no RSS */
	uint32_t rss_key_len;
	uint16_t queues;
	uint16_t mtu; /* 0: as the device has it */
	uint8_t scatter;
	uint8_t multi_segs;
	uint8_t tx_checksums; /* MOSAIC_TX_* */
};

struct mosaic_link {
	uint32_t speed_mbps; /* UINT32_MAX: unknown */
	uint8_t up;
	uint8_t full_duplex;
};

struct mosaic_stats {
	uint64_t rx_packets, tx_packets, rx_bytes, tx_bytes;
	uint64_t rx_missed, rx_errors, tx_errors, rx_no_buffer;
};

/* What mosaic_rss_read found the hash function to be. */
#define MOSAIC_RSS_UNKNOWN 0 /* the device does not say: DPDK before 23.11, or its default */
#define MOSAIC_RSS_TOEPLITZ 1
#define MOSAIC_RSS_SYMMETRIC_TOEPLITZ 2
#define MOSAIC_RSS_OTHER 3

/* The next device from *port on; 0 where there is none, otherwise 1 and its number in *port. */
int mosaic_device_next(uint16_t *port);
int mosaic_device_find(const char *name, uint16_t *port);
int mosaic_device_info(uint16_t port, struct mosaic_device_info *info);
/* Name of the offload with this one bit. */
const char *mosaic_rx_offload_name(uint64_t offload);
const char *mosaic_tx_offload_name(uint64_t offload);
int mosaic_device_configure(uint16_t port, const struct mosaic_device_config *config);
/* Rounds to what the device can do. */
int mosaic_descriptors_adjust(uint16_t port, uint16_t *rx, uint16_t *tx);
int mosaic_rx_queue_setup(uint16_t port, uint16_t queue, uint16_t descriptors, struct rte_mempool *pool);
int mosaic_tx_queue_setup(uint16_t port, uint16_t queue, uint16_t descriptors);
int mosaic_device_set_mtu(uint16_t port, uint16_t mtu);
int mosaic_device_start(uint16_t port);
int mosaic_device_stop(uint16_t port);
/* Closes the device, and takes it off its bus, unless other devices share its place there: it can be attached again. */
int mosaic_device_close(uint16_t port);
int mosaic_promiscuous(uint16_t port, int on);
int mosaic_link(uint16_t port, struct mosaic_link *link);
int mosaic_stats(uint16_t port, struct mosaic_stats *stats);
/* Number of values; where it is more than `max`, nothing was written. Each name takes MOSAIC_NAME_LEN bytes. */
int mosaic_xstats(uint16_t port, char *names, uint64_t *values, uint32_t max);
/* The hash key into `key` (of *len bytes, which becomes what the device has), and one of MOSAIC_RSS_*. */
int mosaic_rss_read(uint16_t port, uint8_t *key, uint32_t *len, int *function);
int mosaic_rss_write(uint16_t port, const uint8_t *key, uint32_t len);
int mosaic_reta_write(uint16_t port, const uint16_t *queues, uint16_t size);
int mosaic_reta_read(uint16_t port, uint16_t *queues, uint16_t size);

/* --- bursts ----------------------------------------------------------------------------------------------------- */

/* Where the bytes of an mbuf's first segment are; the length is that of all segments, whose number is written only for
 * bursts that are MOSAIC_CHAINED. */
struct mosaic_frame {
	const uint8_t *data;
	uint32_t len;
	uint32_t segments;
};

#define MOSAIC_FACT_RSS_HASH 1
#define MOSAIC_FACT_TIMESTAMP 2
#define MOSAIC_FACT_IP_GOOD 4
#define MOSAIC_FACT_IP_BAD 8
#define MOSAIC_FACT_L4_GOOD 16
#define MOSAIC_FACT_L4_BAD 32
#define MOSAIC_FACT_L4_UNFINISHED 64 /* only the pseudo-header is summed: the packet never was on a wire */
#define MOSAIC_FACT_OFFLOADED 128 /* left to the device that it leaves through, with these `headers` */

/* The headers of a frame: TCP or UDP right within IP. */
struct mosaic_headers {
	uint16_t link_len, ip_len, transport_len;
	uint8_t is_v6, is_udp;
};

/* What the device says about a frame, and what is asked of the one that it leaves through. */
struct mosaic_facts {
	uint64_t timestamp;
	uint32_t rss_hash;
	uint32_t known; /* MOSAIC_FACT_* */
	struct mosaic_headers headers;
};

struct mosaic_sent {
	uint64_t bytes;
	uint32_t frames;
	uint32_t no_room;
};

/* What is known about the mbufs of an array. */
#define MOSAIC_CHAINED 1 /* some have more than one segment */
#define MOSAIC_SPECIAL 2 /* some are shared, chained, have foreign memory, or come from another pool than the first */
#define MOSAIC_GAPS 4    /* some are NULL */
#define MOSAIC_CHECKED 8 /* the device has found the checksums of IPv4 and TCP or UDP of all of them good */
#define MOSAIC_OFFLOADED 16 /* some have a checksum that the device finishes as it sends */

/* Receives at most `max` frames; *kind becomes MOSAIC_CHAINED | MOSAIC_SPECIAL | MOSAIC_CHECKED as applies. */
uint16_t mosaic_rx_burst(uint16_t port, uint16_t queue, struct rte_mbuf **mbufs, struct mosaic_frame *frames,
                         uint16_t max, uint32_t *kind);
/* What the device said about `count` mbufs that are not NULL. */
void mosaic_facts(struct rte_mbuf *const *mbufs, struct mosaic_facts *facts, uint16_t count);
/* Copies all segments of an mbuf to `to`, which has room for `len` bytes. */
void mosaic_copy_out(const struct rte_mbuf *mbuf, uint8_t *to, uint32_t len);
/* Sends those of `count` (at most MOSAIC_BURST_MAX) mbufs that have their bit in `forward`, in order, and frees the others
 * and those that found no room. `frames` and `kind` are as received, MOSAIC_GAPS added where mbufs were taken out. Where
 * `linear`, the device wants frames of one segment. A device that takes nothing is asked `patience` more times. */
void mosaic_tx_burst(uint16_t port, uint16_t queue, struct rte_mbuf **mbufs, const struct mosaic_frame *frames,
                     uint16_t count, uint64_t forward, uint32_t kind, int linear, uint32_t patience,
                     struct mosaic_sent *sent);
/* Leaves the checksum of TCP or UDP, in whose place the sum of the pseudo-header stands, to the device that the mbuf leaves
 * through; the burst is MOSAIC_OFFLOADED from then on. What that device's driver refuses is finished in software. Negative
 * where the mbuf cannot say so: odd headers, or a buffer that is shared. */
int mosaic_checksum_offload(struct rte_mbuf *mbuf, const struct mosaic_headers *headers);
/* Puts `len` bytes in the place of a frame's; frees segments that it no longer needs, and adds none. Its checksum is
 * left to nobody any more. Says where the frame is
 * then. Negative, with nothing changed, where there is no room, or somebody else holds the buffer. */
int mosaic_frame_write(struct rte_mbuf *mbuf, const uint8_t *bytes, uint32_t len, struct mosaic_frame *frame);
/* A frame of one segment with these bytes. NULL where the pool has no buffer, or its buffers are shorter. */
struct rte_mbuf *mosaic_frame_new(struct rte_mempool *pool, const uint8_t *bytes, uint32_t len);
/* Frees `count` mbufs, of which `kind` says the same. */
void mosaic_free_burst(struct rte_mbuf **mbufs, uint16_t count, uint32_t kind);

#endif
