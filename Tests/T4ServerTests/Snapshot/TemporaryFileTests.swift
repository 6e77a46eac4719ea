import Foundation
import Synchronization
import T4Core
import Testing

@testable import T4Server

/// Goal: a temporary file leaves nothing behind and does not fill the disk.
struct TemporaryFileTests {
    @Test func temporaryFilesHaveNoName() throws {
        try withTemporaryFolder { folder in
            // An empty one that a crash left in the moment before its name was removed.
            #expect(FileManager.default.createFile(atPath: folder + "/snapshot.tmp", contents: nil))
            var first = try TemporaryFile(in: folder)
            var second = try TemporaryFile(in: folder)
            #expect(try FileManager.default.contentsOfDirectory(atPath: folder).isEmpty)
            let large = [UInt8](repeating: 3, count: 1 << 20)
            try first.append(([1, 2] as [UInt8]).span.bytes)
            try first.append(large.span.bytes)
            try first.append(([4] as [UInt8]).span.bytes)
            try first.flush()
            try second.append(([9] as [UInt8]).span.bytes)
            try second.flush()
            #expect(first.byteCount == 3 + large.count)
            #expect(try first.content() == [1, 2] + large + [4])
            try first.overwrite(([7] as [UInt8]).span.bytes, at: 1)
            #expect(try first.read(3, at: 0) == [1, 7, 3])
            #expect(try first.read(10, at: 2 + large.count) == [4])
            #expect(try second.content() == [9])
        }
    }

    @Test func someOfTheDiskIsLeftToOthers() throws {
        try withTemporaryFolder { folder in
            let disk = SmallDisk(free: UInt64(TemporaryFile.freeSizeMin + (40 << 20)))
            var file = try TemporaryFile(in: folder, fileSystem: disk)
            let piece = [UInt8](repeating: 0, count: 1 << 20)
            var written = 0
            let error = #expect(throws: LogError.self) {
                while written < 100 {
                    try file.append(piece.span.bytes)
                    disk.free.withLock { $0 -= UInt64(piece.count) }
                    written += 1
                }
            }
            #expect(error?.code == .noSpace)
            #expect((20...40).contains(written), "\(written) MiB of 40")
        }
    }
}
