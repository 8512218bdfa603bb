// Random sequences of file operations, done on a real and on a simulated disk: every answer and
// the trees at the end must agree.
#include <gtest/gtest.h>

#include "knative/simulation.hpp"

namespace knative {
namespace {

/// One disk under test, below its own root.
struct Subject {
  Files& files;
  std::string root;
  std::map<int, std::unique_ptr<File>> open{};

  std::string at(const std::string& path) const { return root + "/" + path; }
};

std::string say(const Result<void>& result) {
  return result ? "ok" : std::string(to_string(result.error().code));
}

/// A path of one to three short components; few names, so that operations meet.
std::string some_path(Random& random) {
  static constexpr const char* names[] = {"a", "b", "c", "..", "."};
  std::string path = names[random.below(3)];
  const std::uint64_t more = random.below(3);
  for (std::uint64_t i = 0; i < more; ++i) {
    // ".." only after a component: it must not leave the root.
    path += std::string("/") + names[random.below(i == 0 ? 5 : 3)];
  }
  return path;
}

std::string open_some(Subject& disk, Random& random, const std::string& path) {
  OpenOptions options;
  options.write = true;
  options.create = random.below(2) == 0;
  options.exclusive = random.below(4) == 0;
  options.truncate = random.below(4) == 0;
  options.mode = random.below(2) == 0 ? 0600 : 0644;
  const int slot = static_cast<int>(random.below(3));
  auto file = disk.files.open(disk.at(path), options);
  if (!file) return "open " + std::string(to_string(file.error().code));
  disk.open[slot] = std::move(*file);
  return "open ok";
}

std::string use_open(Subject& disk, Random& random) {
  const int slot = static_cast<int>(random.below(3));
  const std::uint64_t what = random.below(4);
  const std::uint64_t offset = random.below(20);
  const std::string bytes(random.below(10), static_cast<char>('a' + random.below(26)));
  const auto found = disk.open.find(slot);
  if (found == disk.open.end()) return "no file";
  File& file = *found->second;
  switch (what) {
    case 0: return "write " + say(file.write_at(offset, bytes));
    case 1: return "truncate " + say(file.truncate(offset));
    case 2: return "size " + std::to_string(file.size().value());
    default: {
      char buffer[8];
      const std::size_t got = file.read_at(offset, std::span<char>(buffer)).value();
      return "read " + std::string(buffer, got);
    }
  }
}

std::string query(Subject& disk, const std::string& path) {
  const Result<FileInfo> info = disk.files.info(disk.at(path));
  if (!info) return "info " + std::string(to_string(info.error().code));
  std::string text = "info " + info->name + " " + std::to_string(static_cast<int>(info->type));
  if (info->type == FileType::regular) {
    text += " " + std::to_string(info->size_bytes) + " " + std::to_string(info->mode);
  }
  const auto entries = disk.files.list(disk.at(path));
  if (!entries) return text + " list " + std::string(to_string(entries.error().code));
  for (const FileInfo& entry : *entries) text += " " + entry.name;
  return text;
}

std::string act(Subject& disk, Random& random, std::uint64_t what, const std::string& path,
                const std::string& other) {
  // Changing what is called "." or ".." fails in as many ways as there are systems.
  const bool dots = path.ends_with('.') || other.ends_with('.');
  if (what >= 1 && what <= 4 && dots) return "skipped";
  switch (what) {
    case 0: return "mkdir " + say(disk.files.make_directories(disk.at(path)));
    case 1: return "rename " + say(disk.files.rename(disk.at(path), disk.at(other)));
    case 2: return "remove " + say(disk.files.remove(disk.at(path)));
    case 3: return "remove_all " + say(disk.files.remove_all(disk.at(path)));
    case 4: return "symlink " + say(disk.files.make_symlink(other, disk.at(path)));
    case 5: {
      const Result<std::string> target = disk.files.read_symlink(disk.at(path));
      return "readlink " + (target ? *target : std::string(to_string(target.error().code)));
    }
    case 6: return "mode " + say(disk.files.set_mode(disk.at(path), 0755));
    case 7: return open_some(disk, random, path);
    case 8:
    case 9: return use_open(disk, random);
    default: return query(disk, path);
  }
}

/// Do one random operation; says which, and what came of it.
std::string step(Subject& disk, Random& random) {
  const std::uint64_t what = random.below(11);
  const std::string path = some_path(random);
  const std::string other = some_path(random);
  return path + " " + other + ": " + act(disk, random, what, path, other);
}

void collect(Files& files, const std::string& path, const std::string& name, std::string& into) {
  const std::vector<FileInfo> entries = files.list(path).value();
  for (const FileInfo& entry : entries) {
    const std::string below = name + "/" + entry.name;
    into += below + " ";
    switch (entry.type) {
      case FileType::directory:
        into += "directory\n";
        collect(files, path + "/" + entry.name, below, into);
        break;
      case FileType::symlink:
        into += "-> " + files.read_symlink(path + "/" + entry.name).value() + "\n";
        break;
      default: into += files.read_file(path + "/" + entry.name).value() + "\n"; break;
    }
  }
}

/// A directory that goes away with it.
struct Scratch {
  explicit Scratch(Files& f)
      : files(f),
        path(f.make_temporary_directory(::testing::TempDir() + "/differential-").value()) {}
  ~Scratch() { (void)files.remove_all(path).has_value(); }
  Files& files;
  const std::string path;
};

std::string tree(const Subject& disk) {
  std::string text;
  collect(disk.files, disk.root, "", text);
  return text;
}

TEST(FilesDifferential, RealAndSimulatedDisksAgree) {
  Loop loop;
  Files& real = loop.env().files;
  const Scratch scratch(real);
  std::size_t steps = 0;
  for (std::uint64_t seed = 0; seed < 100 && !::testing::Test::HasFailure(); ++seed) {
    Simulation sim(seed);
    // Deep down, because symbolic links may lead upwards a little.
    const std::string top = scratch.path + "/" + std::to_string(seed);
    Subject here{real, top + "/1/2/3/4/5/6"};
    Subject there{sim.env().files, "/0/1/2/3/4/5/6"};
    ASSERT_TRUE(here.files.make_directories(here.root).has_value());
    ASSERT_TRUE(there.files.make_directories(there.root).has_value());
    Random random(seed);
    std::string history;
    for (int i = 0; i < 120; ++i, ++steps) {
      Random one = random.split(std::to_string(i));
      Random two = one;
      const std::string expected = step(here, one);
      const std::string actual = step(there, two);
      history += expected + "\n";
      ASSERT_EQ(actual, expected) << "seed " << seed << " step " << i << "\n"
                                  << history << "real\n"
                                  << tree(here) << "simulated\n"
                                  << tree(there);
    }
    EXPECT_EQ(tree(there), tree(here)) << "seed " << seed;
    here.open.clear();
    ASSERT_TRUE(real.remove_all(top).has_value());
  }
  EXPECT_EQ(steps, 100U * 120U);
}

}  // namespace
}  // namespace knative
