"""Hashing what is random already."""

from django.contrib.auth.hashers import PBKDF2PasswordHasher


class RandomSecretHasher(PBKDF2PasswordHasher):
    """For secrets that we made ourselves from 64 random characters: there is nothing to guess, so stretching would only
    let whoever asks for tokens in a loop occupy our processors."""

    algorithm = "pbkdf2_sha256_random_secret"
    iterations = 1000
