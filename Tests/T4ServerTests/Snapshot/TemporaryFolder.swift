import Foundation
import Testing

/// A folder that exists as long as the body runs; the body may not leave anything in it.
func withTemporaryFolder<Result>(_ body: (String) throws -> Result) throws -> Result {
    let folder = FileManager.default.temporaryDirectory.appending(path: "t4-snapshot-\(UUID().uuidString)")
    try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: false)
    defer { #expect(rmdir(folder.path) == 0, "something was left in \(folder.path)") }
    return try body(folder.path)
}
