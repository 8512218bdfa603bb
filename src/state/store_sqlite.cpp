// A store that is written behind to a SQLite file. The only file that knows SQLite.
//
// Changes queue up on the loop; one job at a time writes a group of them in one transaction on a
// worker. The format is described in docs/store-format.md.
#include <sqlite3.h>

#include <algorithm>
#include <atomic>
#include <cstring>
#include <map>

#include "base/file_tree.hpp"
#include "state/store_core.hpp"

namespace knative::state {
namespace {

constexpr std::int64_t application_id = 0x4b4e5354;  // "KNST"
constexpr std::int64_t format_version = 1;

// One change, ready to be written.
struct Row {
  Version version = 0;
  WatchEventType type = WatchEventType::added;
  std::string kind;
  std::string namespace_;
  std::string name;
  std::string body;
  std::string previous;
};
using Batch = std::vector<Row>;

// FNV-1a over the parts, each followed by a zero byte: notices flipped bits in a row.
class Checksum {
 public:
  Checksum& add(std::string_view text) {
    for (const char c : text) mix(static_cast<unsigned char>(c));
    mix(0);
    return *this;
  }
  Checksum& add(Version number) { return add(std::to_string(number)); }
  std::int64_t value() const { return static_cast<std::int64_t>(hash_); }

 private:
  void mix(unsigned char byte) { hash_ = (hash_ ^ byte) * 1099511628211U; }
  std::uint64_t hash_ = 14695981039346656037U;
};

std::int64_t checksum_of(const Row& row) {
  return Checksum()
      .add(row.version)
      .add(row.kind)
      .add(row.namespace_)
      .add(row.name)
      .add(row.body)
      .add(row.previous)
      .value();
}

Errc condition_of(int code) {
  switch (code & 0xff) {
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB: return Errc::data_loss;
    case SQLITE_FULL:
    case SQLITE_TOOBIG:
    case SQLITE_NOMEM: return Errc::resource_exhausted;
    case SQLITE_BUSY:
    case SQLITE_LOCKED: return Errc::failed_precondition;
    case SQLITE_IOERR:
    case SQLITE_CANTOPEN:
    case SQLITE_READONLY:
    case SQLITE_PERM:
    case SQLITE_AUTH: return Errc::unavailable;
    default: return Errc::internal;
  }
}

class Statement {
 public:
  Statement() = default;
  Statement(sqlite3* database, std::string_view sql) {
    code_ = sqlite3_prepare_v2(database, sql.data(), static_cast<int>(sql.size()), &statement_,
                               nullptr);
  }
  Statement(const Statement&) = delete;
  Statement& operator=(const Statement&) = delete;
  ~Statement() { sqlite3_finalize(statement_); }

  int code() const { return code_; }
  Statement& bind(int at, std::string_view text) {
    sqlite3_bind_text64(statement_, at, text.data(), text.size(), SQLITE_STATIC, SQLITE_UTF8);
    return *this;
  }
  Statement& bind(int at, std::int64_t number) {
    sqlite3_bind_int64(statement_, at, number);
    return *this;
  }
  // SQLITE_ROW, SQLITE_DONE or an error.
  int step() { return code_ == SQLITE_OK ? sqlite3_step(statement_) : code_; }
  // Run to the end and make it ready for the next use.
  int run() {
    int result = step();
    while (result == SQLITE_ROW) result = sqlite3_step(statement_);
    if (code_ == SQLITE_OK) sqlite3_reset(statement_);
    return result == SQLITE_DONE ? SQLITE_OK : result;
  }
  std::int64_t integer(int column) const { return sqlite3_column_int64(statement_, column); }
  std::string text(int column) const {
    const auto* bytes = reinterpret_cast<const char*>(sqlite3_column_text(statement_, column));
    const int size = sqlite3_column_bytes(statement_, column);
    return bytes == nullptr ? std::string() : std::string(bytes, static_cast<std::size_t>(size));
  }

 private:
  sqlite3_stmt* statement_ = nullptr;
  int code_ = SQLITE_OK;
};

struct Loaded {
  Version version = 0;
  std::vector<Row> objects;
  std::vector<Row> history;
};

// SQLite's way to files, led through `Files`: so a store lies on the disk of its world, also of a
// simulated one. Each database registers its own under a name of its own. Locks are those of
// `Files::lock`, held from opening to closing: one store per file.
class FilesVfs {
 public:
  explicit FilesVfs(Files& files)
      : files_(files), name_("knative-" + std::to_string(reinterpret_cast<std::uintptr_t>(this))) {
    vfs_.iVersion = 1;
    vfs_.szOsFile = sizeof(Handle);
    vfs_.mxPathname = 4096;
    vfs_.zName = name_.c_str();
    vfs_.pAppData = this;
    vfs_.xOpen = open;
    vfs_.xDelete = remove;
    vfs_.xAccess = access;
    vfs_.xFullPathname = full_path;
    vfs_.xRandomness = [](sqlite3_vfs*, int size, char* out) {
      std::memset(out, 0, static_cast<std::size_t>(size));  // seeds nothing: not the default
      return size;
    };
    vfs_.xSleep = [](sqlite3_vfs*, int) { return 0; };
    vfs_.xCurrentTime = [](sqlite3_vfs*, double* day) {
      *day = 0;
      return SQLITE_OK;
    };
    vfs_.xGetLastError = [](sqlite3_vfs*, int, char*) { return 0; };
    sqlite3_vfs_register(&vfs_, 0);
  }
  ~FilesVfs() { sqlite3_vfs_unregister(&vfs_); }
  FilesVfs(const FilesVfs&) = delete;
  FilesVfs& operator=(const FilesVfs&) = delete;

  const char* name() const noexcept { return name_.c_str(); }
  /// What the operating system said last, for messages.
  const std::string& trouble() const noexcept { return trouble_; }

 private:
  struct OpenFile {
    FilesVfs& vfs;
    std::unique_ptr<File> file;
    std::string path;
    bool new_entry;  ///< Its name is not durable yet.
  };
  // SQLite allocates it; what it points to is ours.
  struct Handle {
    sqlite3_file base;
    OpenFile* open;
  };
  static FilesVfs& self(sqlite3_vfs* vfs) { return *static_cast<FilesVfs*>(vfs->pAppData); }
  static OpenFile& of(sqlite3_file* file) { return *reinterpret_cast<Handle*>(file)->open; }

  int failed(const Error& error, int code) {
    trouble_ = error.detail;
    return error.code == Errc::resource_exhausted ? SQLITE_FULL : code;
  }
  Result<void> sync_name(const std::string& path) {
    return files_.sync_directory(base::parent_of(path));
  }

  static int open(sqlite3_vfs* vfs, const char* path, sqlite3_file* file, int flags, int* out) {
    FilesVfs& me = self(vfs);
    auto* handle = reinterpret_cast<Handle*>(file);
    handle->base.pMethods = nullptr;
    if (path == nullptr) return SQLITE_CANTOPEN;  // temporary files stay in memory
    const bool absent = !me.files_.info(path);
    if (absent && (flags & SQLITE_OPEN_CREATE) == 0) return SQLITE_CANTOPEN;
    OpenOptions options;
    options.write = true;
    options.create = (flags & SQLITE_OPEN_CREATE) != 0;
    options.mode = 0600;
    const bool main = (flags & SQLITE_OPEN_MAIN_DB) != 0;
    Result<std::unique_ptr<File>> opened =
        main ? me.files_.lock(path) : me.files_.open(path, options);
    if (!opened) {
      const bool busy = main && opened.error().code == Errc::failed_precondition;
      return me.failed(opened.error(), busy ? SQLITE_BUSY : SQLITE_CANTOPEN);
    }
    handle->open = new OpenFile{me, std::move(*opened), path, absent};
    handle->base.pMethods = methods();
    if (out != nullptr) *out = flags;
    return SQLITE_OK;
  }

  static int remove(sqlite3_vfs* vfs, const char* path, int sync) {
    FilesVfs& me = self(vfs);
    Result<void> done = me.files_.remove(path);
    if (!done && done.error().code == Errc::not_found) return SQLITE_IOERR_DELETE_NOENT;
    if (done && sync != 0) done = me.sync_name(path);
    return done ? SQLITE_OK : me.failed(done.error(), SQLITE_IOERR_DELETE);
  }

  static int access(sqlite3_vfs* vfs, const char* path, int, int* out) {
    const Result<FileInfo> info = self(vfs).files_.info(path);
    if (!info && info.error().code != Errc::not_found) {
      return self(vfs).failed(info.error(), SQLITE_IOERR_ACCESS);
    }
    // An empty journal is none.
    *out = info && info->size_bytes > 0 ? 1 : 0;
    return SQLITE_OK;
  }

  static int full_path(sqlite3_vfs*, const char* path, int size, char* out) {
    sqlite3_snprintf(size, out, "%s", path);
    return SQLITE_OK;
  }

  static int close(sqlite3_file* file) {
    delete std::exchange(reinterpret_cast<Handle*>(file)->open, nullptr);
    return SQLITE_OK;
  }
  static int read(sqlite3_file* file, void* into, int size, sqlite3_int64 at) {
    const std::span<char> bytes(static_cast<char*>(into), static_cast<std::size_t>(size));
    const Result<std::size_t> got = of(file).file->read_at(static_cast<std::uint64_t>(at), bytes);
    if (!got) return of(file).vfs.failed(got.error(), SQLITE_IOERR_READ);
    if (*got == bytes.size()) return SQLITE_OK;
    std::memset(bytes.data() + *got, 0, bytes.size() - *got);
    return SQLITE_IOERR_SHORT_READ;
  }
  static int write(sqlite3_file* file, const void* from, int size, sqlite3_int64 at) {
    const std::string_view bytes(static_cast<const char*>(from), static_cast<std::size_t>(size));
    const Result<void> done = of(file).file->write_at(static_cast<std::uint64_t>(at), bytes);
    return done ? SQLITE_OK : of(file).vfs.failed(done.error(), SQLITE_IOERR_WRITE);
  }
  static int truncate(sqlite3_file* file, sqlite3_int64 size) {
    const Result<void> done = of(file).file->truncate(static_cast<std::uint64_t>(size));
    return done ? SQLITE_OK : of(file).vfs.failed(done.error(), SQLITE_IOERR_TRUNCATE);
  }
  static int sync(sqlite3_file* file, int) {
    OpenFile& open = of(file);
    if (const Result<void> done = open.file->sync(); !done) {
      return open.vfs.failed(done.error(), SQLITE_IOERR_FSYNC);
    }
    if (!open.new_entry) return SQLITE_OK;
    if (const Result<void> done = open.vfs.sync_name(open.path); !done) {
      return open.vfs.failed(done.error(), SQLITE_IOERR_DIR_FSYNC);
    }
    open.new_entry = false;
    return SQLITE_OK;
  }
  static int size(sqlite3_file* file, sqlite3_int64* out) {
    const Result<std::uint64_t> bytes = of(file).file->size();
    if (!bytes) return of(file).vfs.failed(bytes.error(), SQLITE_IOERR_FSTAT);
    *out = static_cast<sqlite3_int64>(*bytes);
    return SQLITE_OK;
  }
  static int control(sqlite3_file* file, int operation, void* argument) {
    if (operation != SQLITE_FCNTL_HAS_MOVED) return SQLITE_NOTFOUND;
    const Result<bool> there = of(file).file->is_at(of(file).path);
    if (!there) return of(file).vfs.failed(there.error(), SQLITE_IOERR_FSTAT);
    *static_cast<int*>(argument) = *there ? 0 : 1;
    return SQLITE_OK;
  }
  static const sqlite3_io_methods* methods() {
    static const sqlite3_io_methods table = [] {
      sqlite3_io_methods made{};
      made.iVersion = 1;
      made.xClose = close;
      made.xRead = read;
      made.xWrite = write;
      made.xTruncate = truncate;
      made.xSync = sync;
      made.xFileSize = size;
      made.xLock = [](sqlite3_file*, int) { return SQLITE_OK; };
      made.xUnlock = [](sqlite3_file*, int) { return SQLITE_OK; };
      made.xCheckReservedLock = [](sqlite3_file*, int* out) {
        *out = 0;
        return SQLITE_OK;
      };
      made.xFileControl = control;
      made.xSectorSize = [](sqlite3_file*) { return 4096; };
      made.xDeviceCharacteristics = [](sqlite3_file*) { return SQLITE_IOCAP_POWERSAFE_OVERWRITE; };
      return made;
    }();
    return &table;
  }

  Files& files_;
  std::string name_;
  std::string trouble_;
  sqlite3_vfs vfs_{};
};

// The file. Used by one thread at a time.
class Database {
 public:
  /// `files` null: those of the operating system, as SQLite itself finds them.
  Database(std::string path, Files* files) : path_(std::move(path)) {
    if (files != nullptr) vfs_ = std::make_unique<FilesVfs>(*files);
  }
  Database(const Database&) = delete;
  Database& operator=(const Database&) = delete;
  ~Database() { close(); }

  void close() { sqlite3_close_v2(std::exchange(database_, nullptr)); }

  Result<void> open(bool sync) {
    // Objects hold secrets, and SQLite would let everybody read them. Its other files are as open
    // as this one.
    if (!vfs_) base::claim_private_file(path_);
    const int code =
        sqlite3_open_v2(path_.c_str(), &database_, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE,
                        vfs_ ? vfs_->name() : nullptr);
    if (code != SQLITE_OK) return error(code);
    sqlite3_extended_result_codes(database_, 1);
    sqlite3_busy_timeout(database_, 0);
    if (vfs_) {
      if (Result<void> done = execute("PRAGMA temp_store=MEMORY"); !done) return done;
    }
    // An exclusive lock from the first access on: one store per file.
    if (Result<void> done = execute("PRAGMA locking_mode=EXCLUSIVE"); !done) return done;
    Result<bool> fresh = identify();
    if (!fresh) return fresh.error();
    Result<void> ours = *fresh ? make_header(sync) : execute("BEGIN IMMEDIATE; COMMIT");
    if (!ours) return ours;
    if (Result<void> done = execute("PRAGMA journal_mode=WAL"); !done) return done;
    const char* synchronous = sync ? "PRAGMA synchronous=FULL" : "PRAGMA synchronous=OFF";
    if (Result<void> done = execute(synchronous); !done) return done;
    return *fresh ? create() : check();
  }

  Result<Loaded> load() {
    Loaded loaded;
    Result<std::int64_t> version =
        query_integer("SELECT CAST(value AS INTEGER) FROM meta WHERE key='resource_version'");
    if (!version) return version.error();
    loaded.version = static_cast<Version>(*version);
    Result<void> read = read_rows(
        "SELECT version,0,kind,namespace,name,body,'',checksum FROM objects "
        "ORDER BY kind,namespace,name",
        loaded.version, loaded.objects);
    if (!read) return read.error();
    read = read_rows(
        "SELECT version,type,kind,namespace,name,body,previous,checksum FROM history "
        "ORDER BY version",
        loaded.version, loaded.history);
    if (!read) return read.error();
    return loaded;
  }

  // All rows in one transaction.
  Result<void> write(const Batch& batch, std::size_t history_max) {
    if (batch.empty()) return {};
    if (Result<void> begun = execute("BEGIN IMMEDIATE"); !begun) return begun;
    Result<void> written = write_rows(batch, history_max);
    if (written) written = execute("COMMIT");
    if (!written) sqlite3_exec(database_, "ROLLBACK", nullptr, nullptr, nullptr);
    return written ? linked() : written;
  }

 private:
  Error error(int code) const {
    std::string text = path_ + ": " + sqlite3_errstr(code);
    if (database_ != nullptr) text += std::string(" (") + sqlite3_errmsg(database_) + ')';
    if (vfs_ && !vfs_->trouble().empty()) text += ": " + vfs_->trouble();
    if ((code & 0xff) == SQLITE_BUSY) text = path_ + ": another store has it open";
    return fail(condition_of(code), std::move(text));
  }
  Error damaged(std::string_view why) const {
    return fail(Errc::data_loss, path_ + ": " + std::string(why));
  }

  Result<void> execute(const char* sql) {
    const int code = sqlite3_exec(database_, sql, nullptr, nullptr, nullptr);
    return code == SQLITE_OK ? Result<void>() : Result<void>(error(code));
  }

  Result<std::int64_t> query_integer(std::string_view sql) {
    Statement statement(database_, sql);
    const int code = statement.step();
    if (code == SQLITE_ROW) return statement.integer(0);
    return code == SQLITE_DONE ? damaged("a required row is missing") : error(code);
  }

  // What was written to a file that nobody will find again is not kept. Should its path lead to it
  // again, the group is written once more.
  Result<void> linked() const {
    int moved = 0;
    const int code = sqlite3_file_control(database_, "main", SQLITE_FCNTL_HAS_MOVED, &moved);
    if (code != SQLITE_OK) return error(code);
    if (moved == 0) return {};
    return fail(Errc::unavailable,
                path_ + ": removed, renamed or replaced while the store has it open");
  }

  // True for an empty file; an error when it is somebody else's.
  Result<bool> identify() {
    Result<std::int64_t> tables = query_integer("SELECT count(*) FROM sqlite_master");
    if (!tables) return tables.error();
    Result<std::int64_t> id = query_integer("PRAGMA application_id");
    if (!id) return id.error();
    if (*tables == 0 && *id == 0) return true;
    if (*id != application_id) return damaged("not an object store");
    Result<std::int64_t> version = query_integer("PRAGMA user_version");
    if (!version) return version.error();
    if (*version != format_version) {
      return fail(Errc::failed_precondition,
                  path_ + ": format " + std::to_string(*version) + " is not known here");
    }
    return false;
  }

  // Write the header page of an empty file. The default way syncs eight times for it; but whatever
  // a crash leaves of one page without tables is an empty file again, so one sync does. It must
  // come before the first commit: a log beside an empty file is thrown away.
  Result<void> make_header(bool sync) {
    Result<void> done =
        execute("PRAGMA synchronous=OFF; PRAGMA journal_mode=MEMORY; PRAGMA journal_mode=WAL");
    if (!done || !sync) return done;
    sqlite3_file* file = nullptr;
    int code = sqlite3_file_control(database_, "main", SQLITE_FCNTL_FILE_POINTER, &file);
    if (code == SQLITE_OK) code = file->pMethods->xSync(file, SQLITE_SYNC_NORMAL);
    return code == SQLITE_OK ? Result<void>() : Result<void>(error(code));
  }

  Result<void> create() {
    return execute(
        "BEGIN;"
        "CREATE TABLE meta(key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;"
        "CREATE TABLE objects(kind TEXT, namespace TEXT, name TEXT, version INTEGER NOT NULL,"
        " body TEXT NOT NULL, checksum INTEGER NOT NULL, PRIMARY KEY(kind, namespace, name))"
        " WITHOUT ROWID;"
        "CREATE TABLE history(version INTEGER PRIMARY KEY, type INTEGER NOT NULL,"
        " kind TEXT NOT NULL, namespace TEXT NOT NULL, name TEXT NOT NULL, body TEXT NOT NULL,"
        " previous TEXT NOT NULL, checksum INTEGER NOT NULL);"
        "INSERT INTO meta VALUES('resource_version', '0');"
        "PRAGMA application_id=1263424340;"
        "PRAGMA user_version=1;"
        "COMMIT");
  }

  Result<void> check() {
    Statement statement(database_, "PRAGMA quick_check(1)");
    const int code = statement.step();
    if (code != SQLITE_ROW) return error(code);
    const std::string answer = statement.text(0);
    return answer == "ok" ? Result<void>() : Result<void>(damaged(answer));
  }

  Result<void> read_rows(std::string_view sql, Version newest, std::vector<Row>& rows) {
    Statement statement(database_, sql);
    for (;;) {
      const int code = statement.step();
      if (code == SQLITE_DONE) return {};
      if (code != SQLITE_ROW) return error(code);
      Row row;
      row.version = static_cast<Version>(statement.integer(0));
      row.type = static_cast<WatchEventType>(statement.integer(1));
      row.kind = statement.text(2);
      row.namespace_ = statement.text(3);
      row.name = statement.text(4);
      row.body = statement.text(5);
      row.previous = statement.text(6);
      if (checksum_of(row) != statement.integer(7) || row.version > newest) {
        return damaged("wrong checksum of " + row.kind + ' ' + row.namespace_ + '/' + row.name +
                       " at version " + std::to_string(row.version));
      }
      rows.push_back(std::move(row));
    }
  }

  Result<void> write_rows(const Batch& batch, std::size_t history_max) {
    Statement insert(database_, "INSERT OR REPLACE INTO history VALUES(?1,?2,?3,?4,?5,?6,?7,?8)");
    // The last state of every object in the group.
    std::map<std::tuple<std::string_view, std::string_view, std::string_view>, const Row*> last;
    for (const Row& row : batch) {
      insert.bind(1, static_cast<std::int64_t>(row.version))
          .bind(2, static_cast<std::int64_t>(row.type))
          .bind(3, row.kind)
          .bind(4, row.namespace_)
          .bind(5, row.name)
          .bind(6, row.body)
          .bind(7, row.previous)
          .bind(8, checksum_of(row));
      if (const int code = insert.run(); code != SQLITE_OK) return error(code);
      last[{row.kind, row.namespace_, row.name}] = &row;
    }
    Statement put(database_, "INSERT OR REPLACE INTO objects VALUES(?1,?2,?3,?4,?5,?6)");
    Statement erase(database_, "DELETE FROM objects WHERE kind=?1 AND namespace=?2 AND name=?3");
    for (const auto& entry : last) {
      const Row& row = *entry.second;
      const bool deleted = row.type == WatchEventType::deleted;
      Statement& statement = deleted ? erase : put;
      statement.bind(1, row.kind).bind(2, row.namespace_).bind(3, row.name);
      if (!deleted) {
        Row state = row;
        state.previous.clear();
        statement.bind(4, static_cast<std::int64_t>(row.version))
            .bind(5, row.body)
            .bind(6, checksum_of(state));
      }
      if (const int code = statement.run(); code != SQLITE_OK) return error(code);
    }
    const Version newest = batch.back().version;
    const std::string newest_text = std::to_string(newest);
    Statement version(database_, "UPDATE meta SET value=?1 WHERE key='resource_version'");
    version.bind(1, newest_text);
    if (const int code = version.run(); code != SQLITE_OK) return error(code);
    Statement trim(database_, "DELETE FROM history WHERE version<=?1");
    trim.bind(1, static_cast<std::int64_t>(newest) - static_cast<std::int64_t>(history_max));
    if (const int code = trim.run(); code != SQLITE_OK) return error(code);
    return {};
  }

  std::string path_;
  std::unique_ptr<FilesVfs> vfs_;
  sqlite3* database_ = nullptr;
};

// A group on its way to the disk, shared with the worker that writes it.
struct Flight {
  enum State : int { queued, running, finished, claimed };
  std::shared_ptr<Database> database;
  Batch batch;
  std::size_t history_max = 0;
  Result<void> result;
  std::atomic<int> state = queued;

  // On the worker. Does nothing when the store has taken the group back.
  void fly() {
    int expected = queued;
    if (!state.compare_exchange_strong(expected, running)) return;
    result = database->write(batch, history_max);
    state.store(finished);
    state.notify_all();
  }
};

class SqliteStore final : public StoreCore {
 public:
  SqliteStore(std::shared_ptr<Database> database, Executor& executor, Timers& timers,
              Random& random, Offload& disk, SqliteStoreOptions options)
      : StoreCore(timers, random, options.store),
        database_(std::move(database)),
        timers_(timers),
        disk_(disk),
        retry_delay_(options.retry_delay),
        tasks_(executor) {}

  ~SqliteStore() override {
    tasks_.clear();
    Batch rest = std::move(unwritten_);
    if (flight_) {
      int expected = Flight::queued;
      if (!flight_->state.compare_exchange_strong(expected, Flight::claimed)) {
        flight_->state.wait(Flight::running);
      }
      const bool landed = flight_->state.load() == Flight::finished && flight_->result;
      if (!landed) rest = std::move(flight_->batch);
    }
    take_pending(rest);
    // Nobody is left to be told of a failure; `durable` was never answered for these.
    const Result<void> written = database_->write(rest, options().history_max);
    (void)written;
    // A worker may hold on to the database a little longer, but does not touch it any more.
    database_->close();
  }

  Result<void> restore() {
    Result<Loaded> loaded = database_->load();
    if (!loaded) return loaded.error();
    for (const Row& row : loaded->objects) {
      Result<AnyObject> object = decode(row, row.body);
      if (!object) return object.error();
      if (Result<void> restored = restore_object(std::move(*object)); !restored) return restored;
    }
    for (const Row& row : loaded->history) {
      Result<AnyObject> object = decode(row, row.body);
      if (!object) return object.error();
      Change change;
      change.version = row.version;
      change.type = row.type;
      change.kind = *find_table(row.kind);
      change.object = std::move(*object);
      if (!row.previous.empty()) {
        Result<AnyObject> previous = decode(row, row.previous);
        if (!previous) return previous.error();
        change.previous = std::move(*previous);
      }
      if (Result<void> restored = restore_change(std::move(change)); !restored) return restored;
    }
    if (!history().empty() && history().back().version != loaded->version) {
      return fail(Errc::data_loss, "the history does not end at the newest version");
    }
    restore_version(loaded->version);
    durable_ = loaded->version;
    tasks_.add(write_behind());
    return {};
  }

  Task<Result<void>> durable(std::string resource_version) override {
    const std::optional<Version> wanted = parse_version(resource_version);
    if (!wanted || *wanted > version()) {
      co_return fail(Errc::invalid_argument, "invalid resource version: " + resource_version);
    }
    const std::uint64_t failures = failures_;
    while (durable_ < *wanted) {
      if (failures_ != failures) co_return error_;
      co_await landed_.wait();
    }
    co_return Result<void>();
  }

 private:
  void persist(const Change& change) override {
    pending_.push_back(change);
    work_.set();
  }

  Result<AnyObject> decode(const Row& row, const std::string& text) const {
    const std::string where = row.kind + ' ' + row.namespace_ + '/' + row.name;
    Result<Value> value = Value::parse_json(text);
    if (!value) return fail(Errc::data_loss, where + ": " + value.error().detail);
    Result<AnyObject> object = kinds().from_value(*value, Strictness::lenient);
    if (!object) return fail(Errc::data_loss, where + ": " + object.error().detail);
    if (!find_table(row.kind)) return fail(Errc::data_loss, where + ": unknown kind");
    return object;
  }

  // Encode what is waiting and append it to `batch`.
  void take_pending(Batch& batch) {
    for (const Change& change : pending_) {
      Row row;
      const ObjectMeta& metadata = change.object.metadata();
      row.version = change.version;
      row.type = change.type;
      row.kind = table(change.kind).name;
      row.namespace_ = metadata.namespace_;
      row.name = metadata.name;
      row.body = change.object.to_value().to_json();
      if (change.previous.has_value()) row.previous = change.previous.to_value().to_json();
      batch.push_back(std::move(row));
    }
    pending_.clear();
  }

  Task<void> write_behind() {
    for (;;) {
      while (pending_.empty() && unwritten_.empty()) {
        work_.reset();
        co_await work_.wait();
      }
      take_pending(unwritten_);
      flight_ = std::make_shared<Flight>();
      flight_->database = database_;
      flight_->batch = std::exchange(unwritten_, Batch());
      flight_->history_max = options().history_max;
      auto job = [flight = flight_] { flight->fly(); };
      co_await disk_.run(job);
      const std::shared_ptr<Flight> landed = std::move(flight_);
      flight_.reset();
      if (landed->result) {
        durable_ = landed->batch.back().version;
        landed_.notify_all();
        continue;
      }
      unwritten_ = std::move(landed->batch);
      error_ = landed->result.error();
      ++failures_;
      landed_.notify_all();
      co_await timers_.sleep_for(retry_delay_);
    }
  }

  std::shared_ptr<Database> database_;
  Timers& timers_;
  Offload& disk_;
  Duration retry_delay_;
  std::vector<Change> pending_;
  Batch unwritten_;  // What the disk refused, to be tried again.
  std::shared_ptr<Flight> flight_;
  Version durable_ = 0;
  std::uint64_t failures_ = 0;
  Error error_;
  Wakeup work_;
  Wakeup landed_;
  TaskSet tasks_;
};

}  // namespace
}  // namespace knative::state

namespace knative {

Result<std::unique_ptr<Store>> sqlite_store(std::string path, Executor& executor, Timers& timers,
                                            Random& random, Offload& disk,
                                            SqliteStoreOptions options) {
  auto database = std::make_shared<state::Database>(std::move(path), options.files);
  if (Result<void> opened = database->open(options.sync); !opened) return opened.error();
  auto store = std::make_unique<state::SqliteStore>(database, executor, timers, random, disk,
                                                    std::move(options));
  if (Result<void> restored = store->restore(); !restored) return restored.error();
  return std::unique_ptr<Store>(std::move(store));
}

}  // namespace knative
