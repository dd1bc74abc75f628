/* publisher PORT MESSAGES CONNECTIONS RATE [ACKNOWLEDGED|- [USER PASSWORD]]
 *
 * Sensors on loopback: publishes the file's messages at QoS 1 (MQTT 3.1.1) over so many connections, each in turn its
 * own, RATE a second in all (0: as fast as they are acknowledged). A connection that breaks is opened again and sends
 * what has no PUBACK once more. ACKNOWLEDGED (- for none) receives the index (u4) of each message whose PUBACK came: what the sensors were told.
 * Prints one JSON line at the end. */
#include "mqtt_wire.h"

enum { IN_FLIGHT = 200, GIVE_UP_S = 60 };

typedef struct {
  int socket, number;
  uint32_t flying[65536];  /* by packet identifier: index of the message + 1, 0 when it is free */
  uint16_t mid;
  uint32_t in_flight;
  uint64_t next;  /* index of the message that it sends next */
  uint8_t in[4096];
  size_t have;
} Sensor;

static int port;
static Message *messages;
static uint64_t acknowledged, again;
static FILE *told;
static double moved;  /* when something last happened */
static const char *user, *password;

static size_t put_text(uint8_t *to, const char *text) {
  size_t length = strlen(text);
  to[0] = length >> 8, to[1] = length & 255;
  memcpy(to + 2, text, length);
  return length + 2;
}

static int dial(Sensor *sensor) {
  int made = socket(AF_INET, SOCK_STREAM, 0), one = 1;
  setsockopt(made, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port),
                                .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  struct timeval patience = {5, 0};
  setsockopt(made, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
  uint8_t packet[128] = {CONNECT, 0, 0, 4, 'M', 'Q', 'T', 'T', 4, user ? 0xc2 : 2, 0, 0};
  char name[32];
  snprintf(name, sizeof name, "sensor-%s-%d", user ? user : "", sensor->number);
  size_t length = 12 + put_text(packet + 12, name);
  if (user) length += put_text(packet + length, user), length += put_text(packet + length, password);
  packet[1] = length - 2;
  uint8_t answer[4];
  size_t have = 0;
  if (connect(made, (void *)&address, sizeof address) || write(made, packet, length) != (ssize_t)length) goto no;
  while (have < 4) {
    ssize_t got = read(made, answer + have, 4 - have);
    if (got <= 0) goto no;
    have += got;
  }
  if (answer[3]) goto no;
  fcntl(made, F_SETFL, O_NONBLOCK);
  sensor->socket = made, sensor->have = 0;
  return 1;
no:
  close(made);
  return 0;
}

static void hang_up(Sensor *sensor) { close(sensor->socket), sensor->socket = -1; }

static void take(Sensor *sensor) {
  ssize_t got;
  while ((got = read(sensor->socket, sensor->in + sensor->have, sizeof sensor->in - sensor->have)) > 0) {
    sensor->have += got;
    size_t at = 0;
    for (; sensor->have - at >= 2 && sensor->have - at >= 2u + sensor->in[at + 1]; at += 2 + sensor->in[at + 1]) {
      if ((sensor->in[at] & 0xf0) != PUBACK) continue;
      uint16_t mid = sensor->in[at + 2] << 8 | sensor->in[at + 3];
      if (!sensor->flying[mid]) continue;
      uint32_t index = sensor->flying[mid] - 1;
      sensor->flying[mid] = 0, sensor->in_flight--, acknowledged++, moved = now();
      if (told) fwrite(&index, 4, 1, told);
    }
    memmove(sensor->in, sensor->in + at, sensor->have -= at);
  }
  if (got == 0 || (got < 0 && errno != EAGAIN)) hang_up(sensor);
}

/* Write all, while reading what comes, so that neither side waits for the other. */
static int send_all(Sensor *sensor, const uint8_t *bytes, size_t length) {
  while (length) {
    ssize_t written = write(sensor->socket, bytes, length);
    if (written > 0) { bytes += written, length -= written; continue; }
    if (written < 0 && errno != EAGAIN) { hang_up(sensor); return 0; }
    struct pollfd wait = {sensor->socket, POLLOUT | POLLIN, 0};
    poll(&wait, 1, 100);
    if (wait.revents & POLLIN) take(sensor);
    if (sensor->socket < 0 || now() - moved > GIVE_UP_S) return 0;
  }
  moved = now();
  return 1;
}

int main(int n_arguments, char **arguments) {
  if (n_arguments < 5) return fprintf(stderr, "publisher PORT MESSAGES CONNECTIONS RATE [ACKNOWLEDGED|- [USER PASSWORD]]\n"), 2;
  uint64_t total, sent = 0;
  port = atoi(arguments[1]), messages = read_messages(arguments[2], &total);
  int n_sensors = atoi(arguments[3]);
  double rate = atof(arguments[4]);
  if (n_arguments > 7) user = arguments[6], password = arguments[7];
  if (user && strlen(user) + strlen(password) > 64) return fprintf(stderr, "user and password are too long\n"), 2;
  if (n_arguments > 5 && strcmp(arguments[5], "-") && !(told = fopen(arguments[5], "wb"))) die(arguments[5]);
  signal(SIGPIPE, SIG_IGN);
  alarm(900);  /* never outlives a benchmark that was killed */
  Sensor *sensors = calloc(n_sensors, sizeof *sensors);
  struct pollfd *polls = calloc(n_sensors, sizeof *polls);
  static uint8_t out[1 << 20];
  double began = moved = now();
  for (int i = 0; i < n_sensors; i++) {
    sensors[i].number = sensors[i].next = i;
    while (!dial(&sensors[i]) && now() - began < GIVE_UP_S) usleep(50000);
  }
  began = moved = now();
  while (acknowledged < total && now() - moved < GIVE_UP_S) {
    uint64_t due = rate > 0 ? (uint64_t)((now() - began) * rate) + 1 : total;
    int busy = 0;
    if (due > total) due = total;
    for (int i = 0; i < n_sensors; i++) {
      Sensor *sensor = &sensors[i];
      size_t filled = 0;
      if (sensor->socket < 0) {
        if (!dial(sensor)) continue;
        for (int mid = 1; mid < 65536 && sensor->socket >= 0; mid++)
          if (sensor->flying[mid]) {
            uint32_t length = put_publish(out, &messages[sensor->flying[mid] - 1], mid, 0, 1);
            again++;
            if (!send_all(sensor, out, length)) break;
          }
        if (sensor->socket < 0) continue;
      }
      for (; sensor->next < due && sensor->in_flight < IN_FLIGHT && filled < 4096; sensor->next += n_sensors, sent++) {
        if (filled + publish_room(&messages[sensor->next]) > sizeof out) break;
        do sensor->mid++; while (!sensor->mid || sensor->flying[sensor->mid]);
        sensor->flying[sensor->mid] = sensor->next + 1, sensor->in_flight++;
        filled += put_publish(out + filled, &messages[sensor->next], sensor->mid, 0, 0);
      }
      if (filled) send_all(sensor, out, filled), busy = 1;
    }
    for (int i = 0; i < n_sensors; i++) polls[i] = (struct pollfd){sensors[i].socket, POLLIN, 0};
    poll(polls, n_sensors, busy ? 0 : rate > 0 ? 1 : 20);
    for (int i = 0; i < n_sensors; i++)
      if (polls[i].revents && sensors[i].socket >= 0) take(&sensors[i]);
  }
  if (told) fclose(told);
  printf("{\"sent\": %llu, \"acknowledged\": %llu, \"again\": %llu, \"seconds\": %.3f}\n", (unsigned long long)sent,
         (unsigned long long)acknowledged, (unsigned long long)again, now() - began);
  for (int i = 0; i < n_sensors; i++)
    if (sensors[i].socket >= 0) { uint8_t bye[] = {DISCONNECT, 0}; if (write(sensors[i].socket, bye, 2) < 0) {} }
  return acknowledged < total;
}
