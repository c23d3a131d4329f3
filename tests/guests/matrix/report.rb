# The matrix's program in Ruby, over its core alone. README.md beside this file says what the lines are.

ROOT = ARGV.fetch(0)
# Nothing runs at the program's end: Ruby is a library here.
$stdout.sync = true

def at(name)
  "#{ROOT}/#{name}"
end

def outcome(step, name)
  yield
  puts "#{step} #{name}: done"
rescue SystemCallError, NotImplementedError => error
  puts "#{step} #{name}: #{failure(error)}"
end

def failure(error)
  "error #{error.class.name.delete_prefix('Errno::')}"
end

def adler(content)
  low = 1
  high = 0
  content.each_byte do |byte|
    low = (low + byte) % 65_521
    high = (high + low) % 65_521
  end
  format('%04x%04x', high, low)
end

def letter(found)
  { 'directory' => 'd', 'file' => 'f', 'link' => 'l' }.fetch(found.ftype, '?')
end

# Ruby's core has no types of a listing's own: each entry is asked for its type.
def entries(path)
  names = Dir.children(path).map { |name| name.force_encoding('UTF-8') }
  names.sort_by(&:bytes).map { |name| [name, letter(File.lstat("#{path}/#{name}"))] }
end

def list(name)
  found = entries(at(name))
  puts "list #{name}: #{found.size}"
  found.each { |entry, kind| puts "list #{name}/#{entry}: #{kind}" }
end

def walk(below)
  entries(at(below)).each do |entry, kind|
    name = below.empty? ? entry : "#{below}/#{entry}"
    case kind
    when 'f' then whole('walk', name, 'f ')
    when 'l' then puts "walk #{name}: l #{File.readlink(at(name))}"
    else
      puts "walk #{name}: #{kind}"
      walk(name)
    end
  end
end

def status(step, name)
  found = yield
  puts "#{step} #{name}: #{letter(found)}#{" #{found.size}" if found.file?}"
rescue SystemCallError => error
  puts "#{step} #{name}: #{failure(error)}"
end

def whole(step, name, kind)
  content = File.binread(at(name))
  puts "#{step} #{name}: #{kind}#{content.bytesize} #{adler(content)}"
end

def hex(content)
  content.to_s.unpack1('H*')
end

def seek(file, name, offset)
  file.sysseek(offset, { 'set' => IO::SEEK_SET, 'cur' => IO::SEEK_CUR, 'end' => IO::SEEK_END }.fetch(name))
  position = file.sysseek(0, IO::SEEK_CUR)
  bytes = begin
    file.sysread(8)
  rescue EOFError
    ''
  end
  puts "seek #{name} #{offset}: #{position} #{hex(bytes)}"
rescue SystemCallError => error
  puts "seek #{name} #{offset}: #{failure(error)}"
end

def reading
  File.open(at('large.bin'), 'rb') do |file|
    [['set', 262_140], ['cur', 1000], ['end', -4], ['end', 10], ['set', 0], ['set', -1]].each do |name, offset|
      seek(file, name, offset)
    end
    [0, 262_140, 599_996, 600_000, 1_000_000].each do |offset|
      bytes = begin
        file.pread(8, offset)
      rescue EOFError
        ''
      end
      puts "at #{offset}: #{hex(bytes)}"
    end
  end
end

def many
  files = (0...60).map { |number| File.open(at(format('many/f%02d', number)), 'rb') }
  content = files.map(&:read).join
  files.each(&:close)
  puts "many open: #{content.bytesize} #{adler(content)}"
end

def absent(shown, name)
  outcome('missing open', shown) { File.open(at(name)).close }
  status('missing stat', shown) { File.stat(at(name)) }
  outcome('missing list', shown) { Dir.children(at(name)) }
end

def missing
  %w[absent sub/absent absent/below sub/../absent links/nowhere links/loop hello.txt/below].each do |name|
    absent(name, name)
  end
  absent('300 letters', 'n' * 300)
  absent('not UTF-8', "\xFF\xFE")
  outcome('missing list', 'hello.txt') { Dir.children(at('hello.txt')) }
  outcome('missing read', 'sub') { File.open(at('sub')) { |dir| dir.sysread(1) } }
  outcome('missing readlink', 'hello.txt') { File.readlink(at('hello.txt')) }
end

def opens(path, flags)
  File.open(path, flags).close
end

def writing
  hello = at('hello.txt')
  made = at('made')
  write = ->(name, &call) { outcome('write', name, &call) }
  write.call('open for writing') { opens(hello, File::WRONLY) }
  write.call('open for both') { opens(hello, File::RDWR) }
  write.call('open to append') { opens(hello, File::WRONLY | File::APPEND) }
  write.call('open and truncate') { opens(hello, File::WRONLY | File::TRUNC) }
  write.call('create') { opens(made, File::WRONLY | File::CREAT) }
  write.call('create what is there') { File.binwrite(hello, 'x') }
  write.call('create new') { opens(made, File::WRONLY | File::CREAT | File::EXCL) }
  write.call('create new what is there') { opens(hello, File::WRONLY | File::CREAT | File::EXCL) }
  write.call('create below what is missing') { File.binwrite(at('absent/made'), 'x') }
  write.call('mkdir') { Dir.mkdir(made) }
  write.call('mkdir what is there') { Dir.mkdir(at('sub')) }
  write.call('rmdir') { Dir.rmdir(at('bare')) }
  write.call('rmdir what is not empty') { Dir.rmdir(at('sub')) }
  write.call('rmdir what is missing') { Dir.rmdir(at('absent')) }
  write.call('unlink') { File.unlink(hello) }
  write.call('unlink what is missing') { File.unlink(at('absent')) }
  write.call('rename') { File.rename(hello, made) }
  write.call('rename a directory') { File.rename(at('sub'), made) }
  write.call('rename what is missing') { File.rename(at('absent'), made) }
  write.call('link') { File.link(hello, made) }
  write.call('symlink') { File.symlink('hello.txt', made) }
  write.call('symlink what is there') { File.symlink('hello.txt', hello) }
  write.call('truncate') { File.truncate(hello, 1) }
  write.call('set times') { File.utime(1, 1, hello) }
  File.open(hello) do |file|
    write.call('sync what is open for reading') { file.fsync }
  end
end

['.', 'bare', 'links', 'names'].each { |name| list(name) }
walk('')
%w[hello.txt empty large.bin sub links/file links/dir].each { |name| status('stat', name) { File.stat(at(name)) } }
%w[links/file links/nowhere].each { |name| status('lstat', name) { File.lstat(at(name)) } }
%w[hello.txt empty large.bin].each { |name| whole('whole', name, '') }
reading
many
['-dash', 'back\\slash', "e\u0301", 'with space', 'ümlaut', '日本', '🦀'].each do |name|
  whole('names', "names/#{name}", '')
end
missing
writing
list('.')
