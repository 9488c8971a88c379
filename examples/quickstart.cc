// Appends an event, finds it again by host, and keeps a value in a keyspace.
#include <cstdio>

#include <hdb/engine.h>

hdb::Status run(const char* directory) {
  const auto engine = HDB_TRY(hdb::Engine::open(directory, hdb::presets::durable()));
  hdb::Event event;
  event.type = hdb::event_types::kAuthentication;
  event.host = "host-1";
  event.payload = hdb::as_bytes("user=root result=failure");
  HDB_TRY(engine->append(event));
  {
    hdb::Query query;
    query.hosts = {"host-1"};
    hdb::EventCursor cursor = HDB_TRY(engine->query(query));
    while (const auto found = HDB_TRY(cursor.next())) {
      const std::string_view payload = hdb::as_text(found->payload());
      std::printf("%.*s\n", static_cast<int>(payload.size()), payload.data());
    }
  }
  const hdb::Keyspace settings = HDB_TRY(engine->keyspace("settings"));
  HDB_TRY(engine->put(settings, hdb::as_bytes("last_seen"), hdb::as_bytes("host-1")));
  const auto value = HDB_TRY(engine->get(settings, hdb::as_bytes("last_seen")));
  if (value)
    std::printf("last_seen is %.*s\n", static_cast<int>(value->bytes().size()), hdb::as_text(value->bytes()).data());
  return {};  // the destructor closes
}

int main(int argc, char** argv) {
  const hdb::Status status = run(argc > 1 ? argv[1] : "quickstart-store");
  if (!status.ok()) std::fprintf(stderr, "%s\n", std::string(status.message()).c_str());
  return status.ok() ? 0 : 1;
}
