import Testing

@testable import T4Config

@Suite struct ValueTests {
    @Test(arguments: [
        ("0", 0), ("17", 17), ("1B", 1), ("1KiB", 1024), ("50MiB", 52_428_800), ("1.5MiB", 1_572_864),
        ("2GiB", 2_147_483_648), ("1KB", 1000), ("2.5 KB", 2500), ("3TB", 3_000_000_000_000),
        ("0.001KB", 1), ("8388607TiB", 9_223_370_937_343_148_032), ("0.000000001GB", 1), ("0.123456789GB", 123_456_789),
    ])
    func readsSizes(_ text: String, _ bytes: Int) {
        #expect(ByteCount(text)?.bytes == bytes)
    }

    @Test(arguments: [
        "", "MiB", "-1", "1.5", "1.5B", "1,5MiB", "50MB ", "50mib", "0x10", "1e3", "1.KiB", ".5KiB", "1.2.3KiB",
        "8388608TiB", "9223372036854775808", "１MiB", "1.0000000001GiB",
    ])
    func refusesWhatIsNoSize(_ text: String) {
        #expect(ByteCount(text) == nil)
    }

    @Test(arguments: [0, 1, 1023, 1024, 1_572_864, 52_428_800, 1_000_000, Int.max])
    func writesSizesThatReadTheSame(_ bytes: Int) {
        #expect(ByteCount(ByteCount(bytes: bytes).description)?.bytes == bytes)
    }

    @Test func choosesTheLargestUnit() {
        #expect(ByteCount(bytes: 1_572_864).description == "1536KiB")
        #expect(ByteCount(bytes: 52_428_800).description == "50MiB")
        #expect(ByteCount(bytes: 1000).description == "1000B")
    }

    @Test(arguments: [
        ("0", Duration.zero), ("0s", .zero), ("10s", .seconds(10)), ("15m", .seconds(900)), ("1h30m", .seconds(5400)),
        ("1.5s", .milliseconds(1500)), ("250ms", .milliseconds(250)), ("1m0.5s", .milliseconds(60_500)),
        ("7us", .microseconds(7)), ("3ns", .nanoseconds(3)), ("2d", .seconds(172_800)),
    ])
    func readsDurations(_ text: String, _ duration: Duration) {
        #expect(Duration(parsing: text) == duration)
    }

    @Test(arguments: [
        "", "10", "s", "-1s", "10 s", "10S", "1m1h", "1s1s", "1.5ns", "1,5s", "1h30", "106752d",
        "9223372036854775808ns",
    ])
    func refusesWhatIsNoDuration(_ text: String) {
        #expect(Duration(parsing: text) == nil)
    }

    @Test(arguments: [
        (Duration.zero, "0s"), (.seconds(10), "10s"), (.seconds(7200), "2h"), (.seconds(5400), "1h30m"),
        (.milliseconds(1500), "1s500ms"), (.nanoseconds(1), "1ns"), (.seconds(172_800), "48h"),
    ])
    func writesDurations(_ duration: Duration, _ text: String) {
        #expect(duration.text == text)
        #expect(Duration(parsing: text) == duration)
    }

    @Test(arguments: [
        ("0.0.0.0:3379", "0.0.0.0", 3379), (":2379", "0.0.0.0", 2379), ("localhost:0", "localhost", 0),
        ("[::1]:65535", "::1", 65535),
    ])
    func readsAddresses(_ text: String, _ host: String, _ port: Int) {
        #expect(ListenAddress(text) == ListenAddress(host: host, port: port))
    }

    @Test(arguments: [
        "", "localhost", "localhost:", "localhost:65536", "::1:80", "[localhost]:1", "http://a:1", "a b:1",
    ])
    func refusesWhatIsNoAddress(_ text: String) {
        #expect(ListenAddress(text) == nil)
    }

    @Test func showsNoSecret() {
        let secret = Secret("hunter2")
        #expect("\(secret) \([secret]) \(String(reflecting: secret))".contains("hunter2") == false)
        #expect("\(String(reflecting: Optional(secret)))".contains("hunter2") == false)
        #expect(secret.revealed == "hunter2")
    }

    @Test(arguments: [
        ("data_dri", "data_dir"), ("data-dir", "data_dir"), ("lsiten", "listen"), ("LISTEN", "listen"),
        ("listens", "listen"),
    ])
    func findsTheNearestName(_ wrong: String, _ right: String) {
        #expect(nearestName(to: wrong, among: ["data_dir", "listen", "id"]) == right)
    }

    @Test(arguments: ["bucket", "x1", ""])
    func findsNoNameWhereNoneIsNear(_ wrong: String) {
        #expect(nearestName(to: wrong, among: ["data_dir", "listen"]) == nil)
    }
}
