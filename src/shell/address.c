/* Parsing and printing of addresses. */
#include "shell/address.h"

#include <arpa/inet.h>

#include "base/error.h"

/* 0..65535, digits only. */
static int port_parse(struct slice text, uint16_t *ret_port)
{
    uint32_t port = 0;
    if (text.size == 0 || text.size > 5)
        return ERR_BAD_REQUEST;
    for (size_t i = 0; i < text.size; i++) {
        if (text.data[i] < '0' || text.data[i] > '9')
            return ERR_BAD_REQUEST;
        port = port * 10 + (uint32_t)(text.data[i] - '0');
    }
    if (port > UINT16_MAX)
        return ERR_BAD_REQUEST;
    *ret_port = (uint16_t)port;
    return 0;
}

static const uint8_t *find_byte(struct slice text, int byte)
{
    return text.size == 0 ? NULL : memchr(text.data, byte, text.size);
}

/* Cut TEXT into host and port; the port is empty where none is given. */
static int split(struct slice text, struct slice *ret_host, struct slice *ret_port)
{
    const uint8_t *end = text.data + text.size;
    const uint8_t *colon = find_byte(text, ':');
    if (text.size > 0 && text.data[0] == '[') {
        const uint8_t *close = find_byte(text, ']');
        if (close == NULL || (close + 1 != end && close[1] != ':'))
            return ERR_BAD_REQUEST;
        *ret_host = slice_of(text.data + 1, (size_t)(close - text.data - 1));
        if (close + 1 == end)
            *ret_port = SLICE_NONE;
        else
            *ret_port = slice_of(close + 2, (size_t)(end - close - 2));
        return close + 2 == end ? ERR_BAD_REQUEST : 0;
    }
    if (colon == NULL) {
        *ret_host = text;
        *ret_port = SLICE_NONE;
        return 0;
    }
    *ret_host = slice_of(text.data, (size_t)(colon - text.data));
    *ret_port = slice_of(colon + 1, (size_t)(end - colon - 1));
    return ret_port->size == 0 ? ERR_BAD_REQUEST : 0;
}

static bool host_well_formed(struct slice host, bool bracketed)
{
    if (host.size == 0 || host.size > ADDRESS_SIZE_MAX - 8)
        return false;
    for (size_t i = 0; i < host.size; i++) {
        uint8_t byte = host.data[i];
        bool letter = (byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z') ||
                      (byte >= '0' && byte <= '9');
        if (!letter && byte != '.' && byte != '-' && byte != '_' &&
            !(bracketed && (byte == ':' || byte == '%')))
            return false;
    }
    return true;
}

int address_parse(struct slice text, uint16_t port_default, struct address *ret_address)
{
    struct slice host, port_text;
    uint16_t port = port_default;
    bool bracketed = text.size > 0 && text.data[0] == '[';
    if (split(text, &host, &port_text) < 0 || !host_well_formed(host, bracketed))
        return ERR_BAD_REQUEST;
    if (port_text.size == 0 && port_default == 0)
        return ERR_BAD_REQUEST;
    if (port_text.size > 0 && port_parse(port_text, &port) < 0)
        return ERR_BAD_REQUEST;
    memcpy(ret_address->host, host.data, host.size);
    ret_address->host[host.size] = '\0';
    ret_address->port = port;
    return 0;
}

void address_append(const char *host, uint16_t port, struct buf *out)
{
    if (strchr(host, ':') != NULL)
        buf_printf(out, "[%s]:%u", host, port);
    else
        buf_printf(out, "%s:%u", host, port);
}

enum address_scope address_scope(const char *host)
{
    struct in_addr v4;
    struct in6_addr v6;
    if (strcmp(host, "localhost") == 0)
        return SCOPE_LOOPBACK;
    if (inet_pton(AF_INET, host, &v4) == 1) {
        uint32_t number = ntohl(v4.s_addr);
        return number == 0 ? SCOPE_WILDCARD : number >> 24 == 127 ? SCOPE_LOOPBACK : SCOPE_OTHER;
    }
    if (inet_pton(AF_INET6, host, &v6) == 1) {
        if (IN6_IS_ADDR_UNSPECIFIED(&v6))
            return SCOPE_WILDCARD;
        if (IN6_IS_ADDR_LOOPBACK(&v6))
            return SCOPE_LOOPBACK;
    }
    return SCOPE_OTHER;
}

uint16_t address_port(const struct sockaddr *address)
{
    if (address->sa_family == AF_INET6)
        return ntohs(((const struct sockaddr_in6 *)(const void *)address)->sin6_port);
    return ntohs(((const struct sockaddr_in *)(const void *)address)->sin_port);
}

void address_append_sockaddr(const struct sockaddr *address, struct buf *out)
{
    char host[INET6_ADDRSTRLEN] = "?";
    if (address->sa_family == AF_INET6)
        inet_ntop(AF_INET6, &((const struct sockaddr_in6 *)(const void *)address)->sin6_addr, host,
                  sizeof host);
    else if (address->sa_family == AF_INET)
        inet_ntop(AF_INET, &((const struct sockaddr_in *)(const void *)address)->sin_addr, host,
                  sizeof host);
    address_append(host, address_port(address), out);
}
