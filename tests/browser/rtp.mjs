// Frames of VP8 (RFC 7741) and VP9 (RFC 9628) as RTP, for a stack that packetizes only others and else sends what it is given; and what came by RTP.

const LARGEST = 1100;

/// A picture id of 15 bits.
const pictureId = (number) => [0x80 | ((number >> 8) & 0x7f), number & 0xff];

const DESCRIPTOR = {
  // X, S; then I and the picture id.
  VP8: ({ number, first }) => [0x80 | (first ? 0x10 : 0), 0x80, ...pictureId(number)],
  // I, P, B, E: each picture is predicted from the one before, of one layer.
  VP9: ({ number, first, last, key }) => [0x80 | (key ? 0 : 0x40) | (first ? 0x08 : 0) | (last ? 0x04 : 0), ...pictureId(number)],
};

/// RFC 6386 section 9.1; VP9 bitstream section 6.2, profile 0: the bit after `show_existing_frame`.
const KEY = { VP8: (frame) => (frame[0] & 0x01) === 0, VP9: (frame) => (frame[0] & 0x04) === 0 };

/// Gives what turns a frame and its timestamp into packets.
export function packetizer(codec, { payload, ssrc }) {
  let sequence = 1000;
  let number = 0;
  return (frame, timestamp) => {
    number = (number + 1) & 0x7fff;
    const packets = [];
    for (let at = 0; at < frame.length; at += LARGEST) {
      const last = at + LARGEST >= frame.length;
      const header = Buffer.alloc(12);
      header.writeUInt8(0x80, 0);
      header.writeUInt8((last ? 0x80 : 0) | payload, 1);
      header.writeUInt16BE(sequence, 2);
      header.writeUInt32BE(timestamp, 4);
      header.writeUInt32BE(ssrc, 8);
      sequence = (sequence + 1) & 0xffff;
      const descriptor = DESCRIPTOR[codec]({ number, first: at === 0, last, key: KEY[codec](frame) });
      packets.push(Buffer.concat([header, Buffer.from(descriptor), frame.subarray(at, at + LARGEST)]));
    }
    return packets;
  };
}

/// Counts packets, and pictures of which everything came, by payload type. RTCP among them is passed over (RFC 5761 section 4).
export function counter() {
  const seen = { packets: {}, pictures: {} };
  let next;
  let whole = false;
  const hear = (packet) => {
    if (packet[1] >= 192 && packet[1] <= 223) return;
    const payload = packet[1] & 0x7f;
    const sequence = packet.readUInt16BE(2);
    whole &&= sequence === next;
    next = (sequence + 1) & 0xffff;
    seen.packets[payload] = (seen.packets[payload] ?? 0) + 1;
    if (packet[1] & 0x80) {
      if (whole) seen.pictures[payload] = (seen.pictures[payload] ?? 0) + 1;
      whole = true;
    }
  };
  return { seen, hear };
}
