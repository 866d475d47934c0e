/* kvfloor-echo ADDR PORT: sends back what it gets, through libuv. What a get from memory costs more
 * than this is the store's own; what this costs is the kernel's and the event loop's. */
#include <stdio.h>
#include <stdlib.h>
#include <uv.h>

enum { READ_SIZE = 64 * 1024 };

static char bytes[READ_SIZE]; /* One loop, one thread: what was read is used up at once. */

static void on_closed(uv_handle_t *handle)
{
    free(handle);
}

static void give_room(uv_handle_t *handle, size_t wanted, uv_buf_t *ret_room)
{
    (void)handle;
    (void)wanted;
    *ret_room = uv_buf_init(bytes, sizeof(bytes));
}

static void on_read(uv_stream_t *stream, ssize_t got, const uv_buf_t *room)
{
    uv_buf_t back = uv_buf_init(room->base, got > 0 ? (unsigned int)got : 0);
    if (got == 0)
        return;
    /* The load generator reads all that it asked for, so the socket's buffer has room. */
    if (got < 0 || uv_try_write(stream, &back, 1) != got)
        uv_close((uv_handle_t *)stream, on_closed);
}

static void on_connection(uv_stream_t *listener, int status)
{
    uv_tcp_t *client = calloc(1, sizeof(*client));
    if (status != 0 || client == NULL || uv_tcp_init(listener->loop, client) != 0)
        abort();
    if (uv_accept(listener, (uv_stream_t *)client) != 0 || uv_tcp_nodelay(client, 1) != 0 ||
        uv_read_start((uv_stream_t *)client, give_room, on_read) != 0)
        uv_close((uv_handle_t *)client, on_closed);
}

int main(int argc, char **argv)
{
    struct sockaddr_in address;
    uv_tcp_t listener;
    uv_loop_t *loop = uv_default_loop();
    if (argc != 3 || uv_ip4_addr(argv[1], atoi(argv[2]), &address) != 0) {
        fprintf(stderr, "usage: kvfloor-echo ADDR PORT\n");
        return 2;
    }
    int error = uv_tcp_init(loop, &listener);
    if (error == 0)
        error = uv_tcp_bind(&listener, (const struct sockaddr *)&address, 0);
    if (error == 0)
        error = uv_listen((uv_stream_t *)&listener, 1024, on_connection);
    if (error != 0) {
        fprintf(stderr, "kvfloor-echo: %s:%s: %s\n", argv[1], argv[2], uv_strerror(error));
        return 1;
    }
    return uv_run(loop, UV_RUN_DEFAULT);
}
