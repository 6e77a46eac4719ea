/// Bytes of frames that tests send often.
extension RawPeer {
    /// A request on a stream of its own, whole.
    package static func request(_ stream: UInt32, _ path: String, _ message: [UInt8] = []) -> [UInt8] {
        openingHeaders(stream, path) + frame(FrameType.data, 1, stream, self.message(message))
    }

    /// The headers of a request; its message is to follow.
    package static func openingHeaders(
        _ stream: UInt32, _ path: String, _ more: [(String, String)] = []
    ) -> [UInt8] {
        frame(FrameType.headers, 4, stream, block(requestFields(path) + more))
    }

    /// SETTINGS with the window that new streams have for what the server sends.
    package static func initialWindow(_ size: UInt32) -> [UInt8] {
        frame(FrameType.settings, 0, 0, [0, 4] + bigEndian(size))
    }

    /// WINDOW_UPDATE: of the connection, or of a stream.
    package static func credit(_ size: UInt32, stream: UInt32 = 0) -> [UInt8] {
        frame(FrameType.windowUpdate, 0, stream, bigEndian(size))
    }

    /// PING. Its answer tells that the server has dealt with everything before it.
    package static let ping = frame(FrameType.ping, 0, 0, [UInt8](repeating: 7, count: 8))

    /// RST_STREAM with CANCEL.
    package static func reset(_ stream: UInt32) -> [UInt8] { frame(FrameType.reset, 0, stream, [0, 0, 0, 8]) }

    /// The stream that a client opens as its nth, from 0.
    package static func stream(_ number: Int) -> UInt32 { UInt32(number * 2 + 1) }

    private static func bigEndian(_ number: UInt32) -> [UInt8] { withUnsafeBytes(of: number.bigEndian) { Array($0) } }

    // MARK: Floods

    /// Writes what `piece` makes for 0, 1, 2 and so on, a thousand at a time, until the server takes no more.
    /// - Returns: False if the server took all `count` pieces.
    package func flood(_ count: Int, _ piece: @Sendable (Int) -> [UInt8]) -> Bool {
        for start in stride(from: 0, to: count, by: 1000) {
            do {
                try write((start..<min(count, start + 1000)).flatMap(piece))
            } catch {
                return true
            }
        }
        return false
    }

    /// Waits until the server has closed; what it says before is returned if it said goodbye.
    package func goodbye() throws -> Frame? {
        var goAway: Frame?
        while let frame = next() {
            if frame.type == FrameType.goAway { goAway = frame }
        }
        try drainToEnd()
        return goAway
    }
}
