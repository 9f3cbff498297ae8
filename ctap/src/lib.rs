//! What authenticators speak, over two tiny ports: packets (HID) and APDUs (PC/SC).
