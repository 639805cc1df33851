"""Sample customers, the same ones for the same seed. Tagged values are 10 bytes and longer, and different in every record."""
import random

FIRST = "Amara Bjarne Chiyo Dmitri Esperanza Farouk Greta Hinemoa Ilse Jorge Katarzyna Lwazi Mireille Ngozi Oluwaseun Parvati".split()
LAST = "Abernathy Bianchi Castellanos Dubois Ekström Fernández Grigoryan Hakimi Ivanova Johansson Kowalski Lindqvist Mbeki Nakamura".split()
STREETS = "Harbour Lane,Old Mill Road,Rue des Tilleuls,Lindenallee,Calle Mayor,Long Acre,Nyhavn,Via Garibaldi".split(",")
CITIES = (("London", "GB"), ("Lyon", "FR"), ("Hamburg", "DE"), ("Sevilla", "ES"), ("København", "DK"), ("Torino", "IT"), ("Osaka", "JP"))
TAGGED = ("name", "ssn", "email", "phones", "fingerprint")  # and address.street


def customers(count, seed):
    """The records in Avro's JSON encoding: bytes are text of one character a byte, a set optional string is {"string": ...}."""
    r = random.Random(seed)
    for i in range(count):
        first, last = r.choice(FIRST), r.choice(LAST)
        city, country = r.choice(CITIES)
        number = f"{r.randrange(10**9):09d}"
        yield {
            "id": 1_000_000 + i,
            "name": f"{i:05d} {first} {last}",
            "ssn": f"{number[:3]}-{number[3:5]}-{i:05d}",
            "email": None if i % 5 == 4 else {"string": f"{i:05d}.{first.lower()}@{r.choice(('mail', 'post', 'corp'))}.example"},
            "phones": [f"{i:05d} {r.randrange(10**7):07d} {k}" for k in range(i % 3)],
            "fingerprint": r.randbytes(16).decode("latin-1"),
            "address": {"street": f"{i:05d} {r.choice(STREETS)}", "city": city, "country": country},
            "plan": r.choice(("FREE", "TEAM", "ENTERPRISE")),
            "balance": r.randrange(-10**7, 10**7) / 100,
            "active": i % 7 != 0,
            "logins": r.randrange(10**6),
        }


def tagged_values(record):
    """The tagged values of a record as bytes. In a record that a reader without the key got, they are ciphertext."""
    out = [record["name"].encode(), record["ssn"].encode(), record["fingerprint"].encode("latin-1"), record["address"]["street"].encode()]
    if record["email"] is not None:
        out.append(record["email"]["string"].encode())
    return out + [phone.encode() for phone in record["phones"]]


def untagged(record):
    """What everybody may read of a record, and how many values the rest has."""
    rest = {k: v for k, v in record.items() if k not in TAGGED}
    return {**rest, "address": {k: v for k, v in record["address"].items() if k != "street"}, "email": record["email"] is not None,
            "phones": len(record["phones"])}
