CREATE TABLE plant (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    name TEXT NOT NULL,
    height INTEGER
);
INSERT INTO plant (name, height) VALUES ('sunflower', 180), ('daisy', 30), ('hop', 600);
