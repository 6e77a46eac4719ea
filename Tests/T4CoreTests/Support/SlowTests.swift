import Foundation

/// Whether tests may take minutes: the environment sets T4_TEST_SLOW to 1.
enum SlowTests {
    static let areAllowed = ProcessInfo.processInfo.environment["T4_TEST_SLOW"] == "1"
}
