"""The recipe of Python's cookbook: an echo server on ThreadPoolExecutor(128)."""
import os
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from socket import AF_INET, SOCK_STREAM, socket


def echo_client(sock, client_addr):
    try:
        while True:
            msg = sock.recv(65536)
            if not msg:
                break
            sock.sendall(msg)
    except OSError:
        pass
    sock.close()


def echo_server(sock):
    pool = ThreadPoolExecutor(128)
    while True:
        client_sock, client_addr = sock.accept()
        pool.submit(echo_client, client_sock, client_addr)


sock = socket(AF_INET, SOCK_STREAM)
sock.bind(("127.0.0.1", 0))
sock.listen(512)
threading.Thread(target=echo_server, args=(sock,), daemon=True).start()
print(sock.getsockname()[1], flush=True)
sys.stdin.read()
os._exit(0)
