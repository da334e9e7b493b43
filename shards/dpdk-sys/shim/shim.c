#include <rte_config.h>

#include <errno.h>
#include <string.h>

#include <rte_branch_prediction.h>
#include <rte_dev.h>
#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_ethdev.h>
#include <rte_ether.h>
#include <rte_ip.h>
#include <rte_lcore.h>
#include <rte_mbuf.h>
#include <rte_mbuf_dyn.h>
#include <rte_mempool.h>
#include <rte_pause.h>
#include <rte_version.h>

#include "shim.h"

#if RTE_VERSION < RTE_VERSION_NUM(22, 11, 0, 0)
#error "DPDK 22.11 or later is needed"
#endif

_Static_assert(RTE_DEV_NAME_MAX_LEN <= MOSAIC_NAME_LEN, "device names fit");
_Static_assert(RTE_ETH_XSTATS_NAME_SIZE <= MOSAIC_NAME_LEN, "names of statistics fit");

#define RSS_TYPES                                                                                                      \
	(RTE_ETH_RSS_IPV4 | RTE_ETH_RSS_IPV6 | RTE_ETH_RSS_NONFRAG_IPV4_TCP | RTE_ETH_RSS_NONFRAG_IPV6_TCP |           \
	 RTE_ETH_RSS_NONFRAG_IPV4_UDP | RTE_ETH_RSS_NONFRAG_IPV6_UDP | RTE_ETH_RSS_NONFRAG_IPV4_OTHER |                \
	 RTE_ETH_RSS_NONFRAG_IPV6_OTHER)
/* Without one of these the device does not tell flows apart. */
#define RSS_FLOW_TYPES                                                                                                 \
	(RTE_ETH_RSS_NONFRAG_IPV4_TCP | RTE_ETH_RSS_NONFRAG_IPV6_TCP | RTE_ETH_RSS_NONFRAG_IPV4_UDP |                  \
	 RTE_ETH_RSS_NONFRAG_IPV6_UDP)

static int timestamp_offset = -1;
static uint64_t timestamp_flag;

/* --- process ---------------------------------------------------------------------------------------------------- */

const char *mosaic_version(void)
{
	return rte_version();
}

const char *mosaic_driver_folder(void)
{
#ifdef RTE_EAL_PMD_PATH
	return RTE_EAL_PMD_PATH;
#else
	return "";
#endif
}

const char *mosaic_strerror(int error)
{
	return rte_strerror(error < 0 ? -error : error);
}

int mosaic_eal_init(int argc, char **argv)
{
	if (rte_eal_init(argc, argv) < 0)
		return rte_errno ? -rte_errno : -EIO;
	return 0;
}

int mosaic_eal_cleanup(void)
{
	return rte_eal_cleanup();
}

const char *mosaic_runtime_folder(void)
{
	return rte_eal_get_runtime_dir();
}

int mosaic_device_attach(const char *devargs)
{
	return rte_dev_probe(devargs);
}

int mosaic_thread_has_lcore(void)
{
	return rte_lcore_id() != (unsigned int)LCORE_ID_ANY;
}

int mosaic_thread_register(void)
{
	if (rte_thread_register() != 0)
		return rte_errno ? -rte_errno : -EIO;
	return 0;
}

void mosaic_thread_unregister(void)
{
	rte_thread_unregister();
}

/* --- memory ----------------------------------------------------------------------------------------------------- */

struct rte_mempool *mosaic_pool_create(const char *name, uint32_t mbufs, uint32_t cache, uint32_t data_len,
                                       int32_t socket, int *error)
{
	uint32_t room = data_len + RTE_PKTMBUF_HEADROOM;
	struct rte_mempool *pool;

	if (room > UINT16_MAX) {
		*error = -EINVAL;
		return NULL;
	}
	if (cache > RTE_MEMPOOL_CACHE_MAX_SIZE)
		cache = RTE_MEMPOOL_CACHE_MAX_SIZE;
	pool = rte_pktmbuf_pool_create(name, mbufs, cache, 0, (uint16_t)room, socket < 0 ? SOCKET_ID_ANY : socket);
	*error = pool ? 0 : (rte_errno ? -rte_errno : -ENOMEM);
	return pool;
}

void mosaic_pool_free(struct rte_mempool *pool)
{
	rte_mempool_free(pool);
}

uint32_t mosaic_pool_in_use(const struct rte_mempool *pool)
{
	return rte_mempool_in_use_count(pool);
}

/* --- devices, control path -------------------------------------------------------------------------------------- */

int mosaic_device_next(uint16_t *port)
{
	uint64_t next = rte_eth_find_next_owned_by(*port, RTE_ETH_DEV_NO_OWNER);

	if (next >= RTE_MAX_ETHPORTS)
		return 0;
	*port = (uint16_t)next;
	return 1;
}

int mosaic_device_find(const char *name, uint16_t *port)
{
	return rte_eth_dev_get_port_by_name(name, port);
}

int mosaic_device_info(uint16_t port, struct mosaic_device_info *info)
{
	struct rte_eth_dev_info device;
	struct rte_ether_addr mac;
	int result = rte_eth_dev_info_get(port, &device);

	memset(info, 0, sizeof(*info));
	if (result != 0)
		return result;
	result = rte_eth_dev_get_name_by_port(port, info->name);
	if (result != 0)
		return result;
	strncpy(info->driver, device.driver_name ? device.driver_name : "", MOSAIC_NAME_LEN - 1);
	info->rx_offloads = device.rx_offload_capa;
	info->tx_offloads = device.tx_offload_capa;
	info->max_rx_packet_len = device.max_rx_pktlen;
	info->numa = rte_eth_dev_socket_id(port);
	info->max_rx_queues = device.max_rx_queues;
	info->max_tx_queues = device.max_tx_queues;
	info->max_rx_descriptors = device.rx_desc_lim.nb_max;
	info->max_tx_descriptors = device.tx_desc_lim.nb_max;
	info->reta_size = device.reta_size;
	info->hash_key_len = device.hash_key_size;
	info->min_mtu = device.min_mtu;
	info->max_mtu = device.max_mtu;
	if (rte_eth_dev_get_mtu(port, &info->mtu) != 0)
		info->mtu = 0;
	info->can_rss = (device.flow_type_rss_offloads & RSS_FLOW_TYPES) != 0;
	info->can_scatter = (device.rx_offload_capa & RTE_ETH_RX_OFFLOAD_SCATTER) != 0;
	info->can_multi_segs = (device.tx_offload_capa & RTE_ETH_TX_OFFLOAD_MULTI_SEGS) != 0;
	if (device.tx_offload_capa & RTE_ETH_TX_OFFLOAD_TCP_CKSUM)
		info->tx_checksums |= MOSAIC_TX_TCP;
	if (device.tx_offload_capa & RTE_ETH_TX_OFFLOAD_UDP_CKSUM)
		info->tx_checksums |= MOSAIC_TX_UDP;
	if (rte_eth_macaddr_get(port, &mac) == 0)
		memcpy(info->mac, mac.addr_bytes, sizeof(info->mac));
	return 0;
}

const char *mosaic_rx_offload_name(uint64_t offload)
{
	return rte_eth_dev_rx_offload_name(offload);
}

const char *mosaic_tx_offload_name(uint64_t offload)
{
	return rte_eth_dev_tx_offload_name(offload);
}

/* What to hash, and, where this version of DPDK can name it and the driver knows it, how. The key is the caller's. */
static int prepare_rss(uint16_t port, struct rte_eth_rss_conf *rss, const uint8_t *key, uint32_t len)
{
	struct rte_eth_dev_info device;
	int result = rte_eth_dev_info_get(port, &device);

	if (result != 0)
		return result;
	memset(rss, 0, sizeof(*rss));
	rss->rss_hf = device.flow_type_rss_offloads & RSS_TYPES;
	rss->rss_key = (uint8_t *)(uintptr_t)key;
	rss->rss_key_len = (uint8_t)len;
#if RTE_VERSION >= RTE_VERSION_NUM(23, 11, 0, 0)
	if (device.rss_algo_capa & RTE_ETH_HASH_ALGO_TO_CAPA(RTE_ETH_HASH_FUNCTION_TOEPLITZ))
		rss->algorithm = RTE_ETH_HASH_FUNCTION_TOEPLITZ;
#endif
	return 0;
}

/* Checksums that a device may check as it receives. */
#define RX_CHECKSUMS (RTE_ETH_RX_OFFLOAD_IPV4_CKSUM | RTE_ETH_RX_OFFLOAD_UDP_CKSUM | RTE_ETH_RX_OFFLOAD_TCP_CKSUM)

int mosaic_device_configure(uint16_t port, const struct mosaic_device_config *config)
{
	struct rte_eth_conf conf;
	struct rte_eth_dev_info device;
	int known = rte_eth_dev_info_get(port, &device);

	if (known != 0)
		return known;
	memset(&conf, 0, sizeof(conf));
	conf.rxmode.mtu = config->mtu;
	conf.rxmode.offloads |= device.rx_offload_capa & RX_CHECKSUMS;
	if (config->scatter)
		conf.rxmode.offloads |= RTE_ETH_RX_OFFLOAD_SCATTER;
	if (config->multi_segs)
		conf.txmode.offloads |= RTE_ETH_TX_OFFLOAD_MULTI_SEGS;
	if (config->tx_checksums & MOSAIC_TX_TCP)
		conf.txmode.offloads |= RTE_ETH_TX_OFFLOAD_TCP_CKSUM;
	if (config->tx_checksums & MOSAIC_TX_UDP)
		conf.txmode.offloads |= RTE_ETH_TX_OFFLOAD_UDP_CKSUM;
	if (config->rss_key) {
		int result = prepare_rss(port, &conf.rx_adv_conf.rss_conf, config->rss_key, config->rss_key_len);

		if (result != 0)
			return result;
		conf.rxmode.mq_mode = RTE_ETH_MQ_RX_RSS;
	}
	return rte_eth_dev_configure(port, config->queues, config->queues, &conf);
}

int mosaic_descriptors_adjust(uint16_t port, uint16_t *rx, uint16_t *tx)
{
	return rte_eth_dev_adjust_nb_rx_tx_desc(port, rx, tx);
}

static unsigned int socket_of(uint16_t port)
{
	int socket = rte_eth_dev_socket_id(port);

	return socket < 0 ? (unsigned int)SOCKET_ID_ANY : (unsigned int)socket;
}

int mosaic_rx_queue_setup(uint16_t port, uint16_t queue, uint16_t descriptors, struct rte_mempool *pool)
{
	return rte_eth_rx_queue_setup(port, queue, descriptors, socket_of(port), NULL, pool);
}

int mosaic_tx_queue_setup(uint16_t port, uint16_t queue, uint16_t descriptors)
{
	return rte_eth_tx_queue_setup(port, queue, descriptors, socket_of(port), NULL);
}

int mosaic_device_set_mtu(uint16_t port, uint16_t mtu)
{
	return rte_eth_dev_set_mtu(port, mtu);
}

/* A driver that stamps what it receives has registered the field by now. */
static void find_timestamp(void)
{
	int offset = rte_mbuf_dynfield_lookup(RTE_MBUF_DYNFIELD_TIMESTAMP_NAME, NULL);
	int bit = rte_mbuf_dynflag_lookup(RTE_MBUF_DYNFLAG_RX_TIMESTAMP_NAME, NULL);

	if (offset < 0 || bit < 0)
		return;
	__atomic_store_n(&timestamp_offset, offset, __ATOMIC_RELAXED);
	__atomic_store_n(&timestamp_flag, UINT64_C(1) << bit, __ATOMIC_RELEASE);
}

int mosaic_device_start(uint16_t port)
{
	int result = rte_eth_dev_start(port);

	if (result == 0)
		find_timestamp();
	return result;
}

int mosaic_device_stop(uint16_t port)
{
	return rte_eth_dev_stop(port);
}

/* Whether a device of the bus has further ports. */
static int has_other_ports(const struct rte_device *device, uint16_t port)
{
	struct rte_eth_dev_info other;
	uint16_t i;

	RTE_ETH_FOREACH_DEV(i)
		if (i != port && rte_eth_dev_info_get(i, &other) == 0 && other.device == device)
			return 1;
	return 0;
}

int mosaic_device_close(uint16_t port)
{
	struct rte_eth_dev_info info;
	int known = rte_eth_dev_info_get(port, &info);
	int result = rte_eth_dev_close(port);

	if (known == 0 && info.device && !has_other_ports(info.device, port))
		result = rte_dev_remove(info.device);
	return result;
}

int mosaic_promiscuous(uint16_t port, int on)
{
	return on ? rte_eth_promiscuous_enable(port) : rte_eth_promiscuous_disable(port);
}

int mosaic_link(uint16_t port, struct mosaic_link *link)
{
	struct rte_eth_link state;
	int result = rte_eth_link_get_nowait(port, &state);

	memset(link, 0, sizeof(*link));
	if (result != 0)
		return result;
	link->speed_mbps = state.link_speed;
	link->up = state.link_status == RTE_ETH_LINK_UP;
	link->full_duplex = state.link_duplex == RTE_ETH_LINK_FULL_DUPLEX;
	return 0;
}

int mosaic_stats(uint16_t port, struct mosaic_stats *stats)
{
	struct rte_eth_stats basic;
	int result = rte_eth_stats_get(port, &basic);

	memset(stats, 0, sizeof(*stats));
	if (result != 0)
		return result;
	stats->rx_packets = basic.ipackets;
	stats->tx_packets = basic.opackets;
	stats->rx_bytes = basic.ibytes;
	stats->tx_bytes = basic.obytes;
	stats->rx_missed = basic.imissed;
	stats->rx_errors = basic.ierrors;
	stats->tx_errors = basic.oerrors;
	stats->rx_no_buffer = basic.rx_nombuf;
	return 0;
}

int mosaic_xstats(uint16_t port, char *names, uint64_t *values, uint32_t max)
{
	int count = rte_eth_xstats_get_names(port, NULL, 0);
	struct rte_eth_xstat_name *found_names;
	struct rte_eth_xstat *found;
	int i;

	if (count <= 0 || (uint32_t)count > max)
		return count;
	found_names = calloc((size_t)count, sizeof(*found_names));
	found = calloc((size_t)count, sizeof(*found));
	if (!found_names || !found)
		count = -ENOMEM;
	else if (rte_eth_xstats_get_names(port, found_names, (unsigned int)count) != count ||
	         rte_eth_xstats_get(port, found, (unsigned int)count) != count)
		count = -EAGAIN;
	for (i = 0; i < count; i++) {
		uint64_t id = found[i].id < (uint64_t)count ? found[i].id : (uint64_t)i;

		memcpy(names + (size_t)i * MOSAIC_NAME_LEN, found_names[id].name, RTE_ETH_XSTATS_NAME_SIZE);
		values[i] = found[i].value;
	}
	free(found_names);
	free(found);
	return count;
}

int mosaic_rss_read(uint16_t port, uint8_t *key, uint32_t *len, int *function)
{
	struct rte_eth_rss_conf rss;
	int result;

	memset(&rss, 0, sizeof(rss));
	rss.rss_key = key;
	rss.rss_key_len = (uint8_t)*len;
	result = rte_eth_dev_rss_hash_conf_get(port, &rss);
	if (result != 0)
		return result;
	/* A driver that leaves the length alone has written a key of the size it announces. */
	if (rss.rss_key_len < *len)
		*len = rss.rss_key_len;
	*function = MOSAIC_RSS_UNKNOWN;
#if RTE_VERSION >= RTE_VERSION_NUM(23, 11, 0, 0)
	switch (rss.algorithm) {
	case RTE_ETH_HASH_FUNCTION_DEFAULT:
		break;
	case RTE_ETH_HASH_FUNCTION_TOEPLITZ:
		*function = MOSAIC_RSS_TOEPLITZ;
		break;
	case RTE_ETH_HASH_FUNCTION_SYMMETRIC_TOEPLITZ:
		*function = MOSAIC_RSS_SYMMETRIC_TOEPLITZ;
		break;
	default:
		*function = MOSAIC_RSS_OTHER;
	}
#endif
	return rss.rss_hf & RSS_FLOW_TYPES ? 0 : -ENOTSUP;
}

int mosaic_rss_write(uint16_t port, const uint8_t *key, uint32_t len)
{
	struct rte_eth_rss_conf rss;
	int result = prepare_rss(port, &rss, key, len);

	return result != 0 ? result : rte_eth_dev_rss_hash_update(port, &rss);
}

#define RETA_GROUPS_MAX (RTE_ETH_RSS_RETA_SIZE_512 / RTE_ETH_RETA_GROUP_SIZE)

static int reta_select(struct rte_eth_rss_reta_entry64 *reta, uint16_t size)
{
	uint16_t i;

	if (size == 0 || size > RTE_ETH_RSS_RETA_SIZE_512)
		return -EINVAL;
	memset(reta, 0, RETA_GROUPS_MAX * sizeof(*reta));
	for (i = 0; i < size; i++)
		reta[i / RTE_ETH_RETA_GROUP_SIZE].mask |= UINT64_C(1) << i % RTE_ETH_RETA_GROUP_SIZE;
	return 0;
}

int mosaic_reta_write(uint16_t port, const uint16_t *queues, uint16_t size)
{
	struct rte_eth_rss_reta_entry64 reta[RETA_GROUPS_MAX];
	int result = reta_select(reta, size);
	uint16_t i;

	if (result != 0)
		return result;
	for (i = 0; i < size; i++)
		reta[i / RTE_ETH_RETA_GROUP_SIZE].reta[i % RTE_ETH_RETA_GROUP_SIZE] = queues[i];
	return rte_eth_dev_rss_reta_update(port, reta, size);
}

int mosaic_reta_read(uint16_t port, uint16_t *queues, uint16_t size)
{
	struct rte_eth_rss_reta_entry64 reta[RETA_GROUPS_MAX];
	int result = reta_select(reta, size);
	uint16_t i;

	if (result == 0)
		result = rte_eth_dev_rss_reta_query(port, reta, size);
	for (i = 0; result == 0 && i < size; i++)
		queues[i] = reta[i / RTE_ETH_RETA_GROUP_SIZE].reta[i % RTE_ETH_RETA_GROUP_SIZE];
	return result;
}

/* --- bursts ----------------------------------------------------------------------------------------------------- */

/* Puts back tags that the device has taken out of the frames. A frame without room for it stays as it is. */
static void insert_vlan_tags(struct rte_mbuf **mbufs, struct mosaic_frame *frames, uint16_t count)
{
	uint16_t i;

	for (i = 0; i < count; i++) {
		if (!(mbufs[i]->ol_flags & RTE_MBUF_F_RX_VLAN_STRIPPED) || rte_vlan_insert(&mbufs[i]) != 0)
			continue;
		mbufs[i]->ol_flags &= ~(RTE_MBUF_F_RX_VLAN_STRIPPED | RTE_MBUF_F_TX_VLAN);
		frames[i].data = rte_pktmbuf_mtod(mbufs[i], const uint8_t *);
		frames[i].len = mbufs[i]->pkt_len;
	}
}

/* Whether both checksums of every frame are good: that flag is in all, the one for "bad" (with it: "none") in no one. */
static bool all_checked(uint64_t shared, uint64_t flags)
{
	const uint64_t good = RTE_MBUF_F_RX_IP_CKSUM_GOOD | RTE_MBUF_F_RX_L4_CKSUM_GOOD;
	const uint64_t bad = RTE_MBUF_F_RX_IP_CKSUM_BAD | RTE_MBUF_F_RX_L4_CKSUM_BAD;

	return (shared & good) == good && !(flags & bad);
}

uint16_t mosaic_rx_burst(uint16_t port, uint16_t queue, struct rte_mbuf **mbufs, struct mosaic_frame *frames,
                         uint16_t max, uint32_t *kind)
{
	uint16_t count = rte_eth_rx_burst(port, queue, mbufs, max);
	const struct rte_mempool *pool;
	uint32_t segments = 0, holders = 0;
	uint64_t flags = 0, pools = 0, shared = UINT64_MAX;
	uint16_t i;

	if (count == 0)
		return 0;
	pool = mbufs[0]->pool;
	for (i = 0; i < count; i++) {
		const struct rte_mbuf *mbuf = mbufs[i];

		frames[i].data = rte_pktmbuf_mtod(mbuf, const uint8_t *);
		frames[i].len = mbuf->pkt_len;
		segments |= mbuf->nb_segs;
		holders |= rte_mbuf_refcnt_read(mbuf);
		pools |= (uintptr_t)mbuf->pool ^ (uintptr_t)pool;
		flags |= mbuf->ol_flags;
		shared &= mbuf->ol_flags;
	}
	*kind = all_checked(shared, flags) ? MOSAIC_CHECKED : 0;
	if (unlikely(segments > 1)) {
		*kind |= MOSAIC_CHAINED | MOSAIC_SPECIAL;
		for (i = 0; i < count; i++)
			frames[i].segments = mbufs[i]->nb_segs;
	}
	if (unlikely(holders != 1 || pools || flags & (RTE_MBUF_F_INDIRECT | RTE_MBUF_F_EXTERNAL)))
		*kind |= MOSAIC_SPECIAL;
	if (unlikely(flags & RTE_MBUF_F_RX_VLAN_STRIPPED))
		insert_vlan_tags(mbufs, frames, count);
	return count;
}

static uint32_t known_checksums(uint64_t flags)
{
	uint32_t known = 0;

	switch (flags & RTE_MBUF_F_RX_IP_CKSUM_MASK) {
	case RTE_MBUF_F_RX_IP_CKSUM_GOOD:
		known |= MOSAIC_FACT_IP_GOOD;
		break;
	case RTE_MBUF_F_RX_IP_CKSUM_BAD:
		known |= MOSAIC_FACT_IP_BAD;
		break;
	}
	switch (flags & RTE_MBUF_F_RX_L4_CKSUM_MASK) {
	case RTE_MBUF_F_RX_L4_CKSUM_GOOD:
		known |= MOSAIC_FACT_L4_GOOD;
		break;
	case RTE_MBUF_F_RX_L4_CKSUM_BAD:
		known |= MOSAIC_FACT_L4_BAD;
		break;
	case RTE_MBUF_F_RX_L4_CKSUM_NONE:
		known |= MOSAIC_FACT_L4_UNFINISHED;
		break;
	}
	return known;
}

/* What mosaic_checksum_offload sets. */
#define TX_CHECKSUM (RTE_MBUF_F_TX_L4_MASK | RTE_MBUF_F_TX_IPV4 | RTE_MBUF_F_TX_IPV6)

int mosaic_checksum_offload(struct rte_mbuf *mbuf, const struct mosaic_headers *headers)
{
	uint32_t len = (uint32_t)headers->link_len + headers->ip_len + headers->transport_len;

	if (rte_mbuf_refcnt_read(mbuf) != 1 || !RTE_MBUF_DIRECT(mbuf))
		return -EBUSY;
	/* What the fields of an mbuf hold; the headers must lie in its first segment. */
	if (headers->link_len >= 1 << RTE_MBUF_L2_LEN_BITS || headers->ip_len >= 1 << RTE_MBUF_L3_LEN_BITS ||
	    headers->transport_len >= 1 << RTE_MBUF_L4_LEN_BITS || len > mbuf->data_len)
		return -EINVAL;
	mbuf->tx_offload = 0;
	mbuf->l2_len = headers->link_len;
	mbuf->l3_len = headers->ip_len;
	mbuf->l4_len = headers->transport_len;
	mbuf->ol_flags &= ~TX_CHECKSUM;
	mbuf->ol_flags |= headers->is_v6 ? RTE_MBUF_F_TX_IPV6 : RTE_MBUF_F_TX_IPV4;
	mbuf->ol_flags |= headers->is_udp ? RTE_MBUF_F_TX_UDP_CKSUM : RTE_MBUF_F_TX_TCP_CKSUM;
	return 0;
}

static void read_headers(const struct rte_mbuf *mbuf, struct mosaic_facts *facts)
{
	memset(&facts->headers, 0, sizeof(facts->headers));
	if (!(mbuf->ol_flags & RTE_MBUF_F_TX_L4_MASK))
		return;
	facts->known |= MOSAIC_FACT_OFFLOADED;
	facts->headers.link_len = mbuf->l2_len;
	facts->headers.ip_len = mbuf->l3_len;
	facts->headers.transport_len = mbuf->l4_len;
	facts->headers.is_v6 = (mbuf->ol_flags & RTE_MBUF_F_TX_IPV6) != 0;
	facts->headers.is_udp = (mbuf->ol_flags & RTE_MBUF_F_TX_L4_MASK) == RTE_MBUF_F_TX_UDP_CKSUM;
}

/* Does what was to be left to the device. */
static void finish_checksum(struct rte_mbuf *mbuf)
{
	uint32_t start = (uint32_t)mbuf->l2_len + mbuf->l3_len;
	int is_udp = (mbuf->ol_flags & RTE_MBUF_F_TX_L4_MASK) == RTE_MBUF_F_TX_UDP_CKSUM;
	uint16_t sum;

	if (!(mbuf->ol_flags & RTE_MBUF_F_TX_L4_MASK))
		return;
	mbuf->ol_flags &= ~TX_CHECKSUM;
	if (rte_raw_cksum_mbuf(mbuf, start, mbuf->pkt_len - start, &sum) != 0)
		return;
	sum = ~sum;
	/* Zero would say that none was sent (RFC 768). */
	if (is_udp && sum == 0)
		sum = UINT16_MAX;
	memcpy(rte_pktmbuf_mtod_offset(mbuf, char *, start + (is_udp ? 6 : 16)), &sum, sizeof(sum));
}

/* Lets the driver complete what it is asked to do as it sends. What it refuses is done here. */
static void prepare(uint16_t port, uint16_t queue, struct rte_mbuf **mbufs, uint16_t count)
{
	uint16_t done = 0;

	while (done < count) {
		done += rte_eth_tx_prepare(port, queue, mbufs + done, count - done);
		if (done < count)
			finish_checksum(mbufs[done++]);
	}
}

void mosaic_facts(struct rte_mbuf *const *mbufs, struct mosaic_facts *facts, uint16_t count)
{
	uint64_t flag = __atomic_load_n(&timestamp_flag, __ATOMIC_ACQUIRE);
	int offset = __atomic_load_n(&timestamp_offset, __ATOMIC_RELAXED);
	uint16_t i;

	for (i = 0; i < count; i++) {
		uint64_t flags = mbufs[i]->ol_flags;

		facts[i].known = known_checksums(flags);
		read_headers(mbufs[i], &facts[i]);
		facts[i].rss_hash = mbufs[i]->hash.rss;
		facts[i].timestamp = 0;
		if (flags & RTE_MBUF_F_RX_RSS_HASH)
			facts[i].known |= MOSAIC_FACT_RSS_HASH;
		if (flags & flag) {
			facts[i].known |= MOSAIC_FACT_TIMESTAMP;
			facts[i].timestamp = *RTE_MBUF_DYNFIELD(mbufs[i], offset, const rte_mbuf_timestamp_t *);
		}
	}
}

void mosaic_copy_out(const struct rte_mbuf *mbuf, uint8_t *to, uint32_t len)
{
	while (mbuf && len > 0) {
		uint32_t part = RTE_MIN((uint32_t)mbuf->data_len, len);

		memcpy(to, rte_pktmbuf_mtod(mbuf, const uint8_t *), part);
		to += part;
		len -= part;
		mbuf = mbuf->next;
	}
}

static uint32_t room_of(const struct rte_mbuf *segment)
{
	return (uint32_t)segment->buf_len - segment->data_off;
}

int mosaic_frame_write(struct rte_mbuf *mbuf, const uint8_t *bytes, uint32_t len, struct mosaic_frame *frame)
{
	struct rte_mbuf *segment;
	uint32_t room = 0, left = len;
	uint16_t segments = 1;

	for (segment = mbuf; segment; segment = segment->next) {
		if (rte_mbuf_refcnt_read(segment) != 1 || !RTE_MBUF_DIRECT(segment))
			return -EBUSY;
		room += room_of(segment);
	}
	if (len > room)
		return -ENOSPC;
	for (segment = mbuf;; segment = segment->next, segments++) {
		uint32_t part = RTE_MIN(left, room_of(segment));

		memcpy(rte_pktmbuf_mtod(segment, uint8_t *), bytes, part);
		segment->data_len = (uint16_t)part;
		bytes += part;
		left -= part;
		if (left == 0)
			break;
	}
	rte_pktmbuf_free(segment->next);
	segment->next = NULL;
	mbuf->ol_flags &= ~TX_CHECKSUM;
	mbuf->nb_segs = segments;
	mbuf->pkt_len = len;
	frame->data = rte_pktmbuf_mtod(mbuf, const uint8_t *);
	frame->len = len;
	frame->segments = segments;
	return 0;
}

struct rte_mbuf *mosaic_frame_new(struct rte_mempool *pool, const uint8_t *bytes, uint32_t len)
{
	struct rte_mbuf *mbuf = rte_pktmbuf_alloc(pool);
	char *to;

	if (!mbuf)
		return NULL;
	to = len <= UINT16_MAX ? rte_pktmbuf_append(mbuf, (uint16_t)len) : NULL;
	if (!to) {
		rte_pktmbuf_free(mbuf);
		return NULL;
	}
	memcpy(to, bytes, len);
	return mbuf;
}

/* Frees mbufs that are not NULL. Those of one segment that nobody else holds go back to their pool as they are: nothing
 * of them need be looked at. */
static void free_all(struct rte_mbuf **mbufs, uint16_t count, uint32_t kind)
{
	if (count == 0)
		return;
	if (unlikely(kind & MOSAIC_SPECIAL))
		rte_pktmbuf_free_bulk(mbufs, count);
	else
		rte_mempool_put_bulk(mbufs[0]->pool, (void **)mbufs, count);
}

static uint16_t close_gaps(struct rte_mbuf **mbufs, uint16_t count)
{
	uint16_t kept = 0;
	uint16_t i;

	for (i = 0; i < count; i++) {
		struct rte_mbuf *mbuf = mbufs[i];

		mbufs[kept] = mbuf;
		kept += mbuf != NULL;
	}
	return kept;
}

void mosaic_free_burst(struct rte_mbuf **mbufs, uint16_t count, uint32_t kind)
{
	if (unlikely(kind & MOSAIC_GAPS))
		count = close_gaps(mbufs, count);
	free_all(mbufs, count, kind);
}

/* What a burst is divided into. */
struct division {
	struct rte_mbuf *out[MOSAIC_BURST_MAX], *back[MOSAIC_BURST_MAX];
	uint32_t lens[MOSAIC_BURST_MAX]; /* of out */
	uint16_t outs, backs, misfits;   /* misfits: those of `back` that should have been sent */
};

/* Frames of several segments become one where the device cannot send them otherwise and there is room for that. */
static void divide(struct division *to, struct rte_mbuf **mbufs, const struct mosaic_frame *frames, uint16_t count,
                   uint64_t forward, int linear)
{
	uint16_t i;

	to->outs = to->backs = to->misfits = 0;
	for (i = 0; i < count; i++) {
		int send = forward >> i & 1;

		if (unlikely(!mbufs[i]))
			continue;
		if (unlikely(send && linear && frames[i].segments > 1 && rte_pktmbuf_linearize(mbufs[i]) != 0)) {
			to->misfits++;
			send = 0;
		}
		if (send) {
			to->lens[to->outs] = frames[i].len;
			to->out[to->outs++] = mbufs[i];
		} else {
			to->back[to->backs++] = mbufs[i];
		}
	}
}

/* Number of frames that the device took. */
static uint16_t send_patiently(uint16_t port, uint16_t queue, struct rte_mbuf **mbufs, uint16_t count,
                               uint32_t patience)
{
	uint16_t done = rte_eth_tx_burst(port, queue, mbufs, count);

	while (unlikely(done < count)) {
		uint16_t taken = rte_eth_tx_burst(port, queue, mbufs + done, count - done);

		done += taken;
		if (taken == 0) {
			if (patience-- == 0)
				break;
			rte_pause();
		}
	}
	return done;
}

/* The common case: all of a burst goes out. */
static void send_all(uint16_t port, uint16_t queue, struct rte_mbuf **mbufs, const struct mosaic_frame *frames,
                     uint16_t count, uint32_t kind, uint32_t patience, struct mosaic_sent *sent)
{
	uint64_t bytes = 0;
	uint16_t done, i;

	if (unlikely(kind & MOSAIC_OFFLOADED))
		prepare(port, queue, mbufs, count);
	done = send_patiently(port, queue, mbufs, count, patience);
	for (i = 0; i < done; i++)
		bytes += frames[i].len;
	sent->frames = done;
	sent->no_room = count - done;
	sent->bytes = bytes;
	free_all(mbufs + done, count - done, kind);
}

void mosaic_tx_burst(uint16_t port, uint16_t queue, struct rte_mbuf **mbufs, const struct mosaic_frame *frames,
                     uint16_t count, uint64_t forward, uint32_t kind, int linear, uint32_t patience,
                     struct mosaic_sent *sent)
{
	struct division parts;
	uint64_t all = UINT64_MAX >> (MOSAIC_BURST_MAX - count);
	uint16_t done, i;

	if (likely((forward & all) == all && !(kind & MOSAIC_GAPS) && !(linear && kind & MOSAIC_CHAINED))) {
		send_all(port, queue, mbufs, frames, count, kind, patience, sent);
		return;
	}
	divide(&parts, mbufs, frames, count, forward, linear && kind & MOSAIC_CHAINED);
	if (unlikely(kind & MOSAIC_OFFLOADED))
		prepare(port, queue, parts.out, parts.outs);
	done = parts.outs ? send_patiently(port, queue, parts.out, parts.outs, patience) : 0;
	sent->frames = done;
	sent->no_room = parts.outs - done + parts.misfits;
	sent->bytes = 0;
	for (i = 0; i < done; i++)
		sent->bytes += parts.lens[i];
	free_all(parts.back, parts.backs, kind);
	free_all(parts.out + done, parts.outs - done, kind);
}
